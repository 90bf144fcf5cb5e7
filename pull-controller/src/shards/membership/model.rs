//! Several replicas against one API server, with whatever may happen to them: crashes, pauses of the process, lost and late
//! messages, clocks that run at different speeds. Whatever is written is written by the one that holds the shard.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::collections::BTreeMap;

use super::{
    super::own::{Ask, Own, Return},
    *,
};

/// How long a Lease lasts here. Everything else is a part of it, so how long that is does not matter.
const LEASE: u64 = 1_500;
/// The longest that a request or an event is on its way. What is late beyond it is lost.
const TRANSIT: u64 = 60;
/// What a round of the simulation lasts.
const ROUND: u64 = 10;
const SEEDS: u64 = 4;

/// splitmix64: the same numbers from the same seed, on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn once_in(&mut self, rounds: u64) -> bool {
        self.below(rounds) == 0
    }
}

#[derive(Clone, Debug)]
enum Event {
    Lease(Member, Lease),
    Gone(Member),
    Table(String, Table),
}

#[derive(Clone, Debug)]
enum Request {
    Join(Member),
    Renew(Member, bool),
    Release(Member),
    Bury(Burial),
    Write(Writing),
    /// A write to something of this shard. The server gives it up after so long.
    Touch(Member, Shard, u64),
}

#[derive(Clone, Debug)]
enum Answer {
    Renewed(Member, Instant),
    Lost(Member, Instant),
    Released,
    Buried(Member),
    NotBuried(Member),
    /// Whether the table that was sent then was taken.
    Wrote(Instant, bool),
}

/// The API server: leases and table, and every change in its order.
#[derive(Default)]
struct Server {
    leases: BTreeMap<Member, Lease>,
    table: Option<(String, Table)>,
    version: u64,
    events: Vec<(u64, Event)>,
    /// All that there ever were.
    names: BTreeSet<Member>,
    touched: usize,
}

impl Server {
    fn next(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn put(&mut self, now: u64, member: Member, is_leaving: bool) {
        let lease = Lease { uid: member.to_string(), version: self.next(), is_leaving };
        self.leases.insert(member.clone(), lease.clone());
        self.events.push((now, Event::Lease(member, lease)));
    }

    fn answer(&mut self, now: u64, sent: Instant, request: Request) -> Option<Answer> {
        Some(match request {
            Request::Join(member) => {
                assert!(self.names.insert(member.clone()), "at {now} {member} has come back");
                self.put(now, member.clone(), false);
                Answer::Renewed(member, sent)
            }
            Request::Renew(member, is_leaving) if self.leases.contains_key(&member) => {
                self.put(now, member.clone(), is_leaving);
                Answer::Renewed(member, sent)
            }
            Request::Renew(member, _) => Answer::Lost(member, sent),
            Request::Release(member) => {
                if self.leases.remove(&member).is_some() {
                    self.events.push((now, Event::Gone(member)));
                }
                Answer::Released
            }
            Request::Bury(Burial { member, lease }) => match self.leases.get(&member) {
                Some(live) if live.version != lease.version => Answer::NotBuried(member),
                Some(_) => {
                    self.leases.remove(&member);
                    self.events.push((now, Event::Gone(member.clone())));
                    Answer::Buried(member)
                }
                None => Answer::Buried(member),
            },
            Request::Write(Writing { over, table }) => {
                if over.as_ref() != self.table.as_ref().map(|(version, _)| version) {
                    return Some(Answer::Wrote(sent, false));
                }
                let version = self.next();
                self.table = Some((version.clone(), table.clone()));
                self.events.push((now, Event::Table(version, table)));
                Answer::Wrote(sent, true)
            }
            Request::Touch(member, shard, _) => {
                let holder = self.table.as_ref().and_then(|(_, table)| table.holder(shard));
                assert_eq!(holder, Some(&member), "at {now} {member} writes to a shard that is another's: {shard:?}");
                self.touched += 1;
                return None;
            }
        })
    }
}

/// A replica's process.
struct Process {
    knows: Membership,
    own: Own,
    /// Local time is real time at this rate, in thousandths, from a beginning of its own.
    rate: u64,
    start: Instant,
    /// Until when it may write. The number changes when it may no more, whatever was begun.
    permit: (u64, Option<Instant>),
    /// What is done in which shard: under which permit, until when it writes, and when it ends.
    busy: BTreeMap<usize, (u64, Instant, Instant)>,
    hold: ShardSet,
    /// How many events it has had.
    seen: usize,
    renews: Instant,
    /// What the Lease was asked for then is on its way.
    renewing: Option<Instant>,
    /// A table was sent then, and is not answered.
    acting: Option<Instant>,
    paused_until: u64,
    cut_off_until: u64,
    leaves: bool,
    /// Until when it waits for the answer to the release of its Lease.
    released: Option<Instant>,
    runs: u64,
}

struct World {
    now: u64,
    random: Random,
    server: Server,
    processes: BTreeMap<String, Process>,
    /// Requests on their way, and answers, by when they arrive.
    requests: Vec<(u64, String, Instant, Request)>,
    answers: Vec<(u64, String, Answer)>,
    base: Instant,
    calm: bool,
}

const TERMS: Terms = Terms(Duration::from_millis(LEASE));

impl World {
    fn new(seed: u64) -> Self {
        Self {
            now: 0,
            random: Random(seed),
            server: Server::default(),
            processes: BTreeMap::new(),
            requests: Vec::new(),
            answers: Vec::new(),
            base: Instant::now(),
            calm: false,
        }
    }

    fn start(&mut self, id: &str) {
        let runs = self.random.below(1 << 40);
        let (rate, offset) = (970 + self.random.below(60), self.random.below(1_000_000));
        let start = self.base + Duration::from_millis(offset);
        let process = Process {
            knows: Membership::new(TERMS, Member::new(id, &format!("r{runs}")), false),
            own: Own::default(),
            rate,
            start,
            permit: (0, None),
            busy: BTreeMap::new(),
            hold: ShardSet::default(),
            seen: 0,
            renews: start,
            renewing: None,
            acting: None,
            paused_until: 0,
            cut_off_until: 0,
            leaves: false,
            released: None,
            runs,
        };
        self.processes.insert(id.to_owned(), process);
    }

    fn local(&self, id: &str) -> Instant {
        let process = &self.processes[id];
        process.start + Duration::from_millis(self.now * process.rate / 1000)
    }

    fn send(&mut self, id: &str, request: Request) {
        let late = self.random.below(TRANSIT);
        let lost = !self.calm && (self.random.once_in(40) || self.processes[id].cut_off_until > self.now);
        if !lost {
            self.requests.push((self.now + late, id.to_owned(), self.local(id), request));
        }
    }

    /// What arrives by now.
    fn deliver(&mut self) {
        let arrived = self.requests.extract_if(.., |(at, ..)| *at <= self.now).collect::<Vec<_>>();
        for (_, id, sent, request) in arrived {
            if let Request::Touch(member, shard, limit) = request {
                // It waits at the server as long as it may, or less, and takes effect then.
                match self.random.below(3) {
                    0 => drop(self.server.answer(self.now, sent, Request::Touch(member, shard, 0))),
                    _ if limit > 0 => {
                        let later = self.now + self.random.below(limit) + 1;
                        self.requests.push((later, id, sent, Request::Touch(member, shard, 0)));
                    }
                    _ => drop(self.server.answer(self.now, sent, Request::Touch(member, shard, 0))),
                }
                continue;
            }
            let Some(answer) = self.server.answer(self.now, sent, request) else { continue };
            if self.calm || !self.random.once_in(40) {
                self.answers.push((self.now + self.random.below(TRANSIT), id, answer));
            }
        }
        let arrived = self.answers.extract_if(.., |(at, ..)| *at <= self.now).collect::<Vec<_>>();
        for (at, id, answer) in arrived {
            let local = self.processes.contains_key(&id).then(|| self.local(&id));
            let (Some(local), now) = (local, self.now) else { continue };
            let process = self.processes.get_mut(&id).unwrap();
            if process.paused_until > now {
                self.answers.push((at.max(process.paused_until), id, answer));
                continue;
            }
            process.take(answer, local);
        }
    }

    fn step(&mut self) {
        self.now += ROUND;
        self.deliver();
        let ids: Vec<String> = self.processes.keys().cloned().collect();
        for id in ids {
            if self.processes[&id].paused_until > self.now {
                continue;
            }
            self.hear(&id);
            self.act(&id);
            self.work(&id);
        }
    }

    /// The watch brings what there is, some of it late.
    fn hear(&mut self, id: &str) {
        let (now, local) = (self.now, self.local(id));
        let process = self.processes.get_mut(id).unwrap();
        if process.cut_off_until > now {
            return;
        }
        if process.seen == 0 && process.knows.until.is_some() {
            process.knows.listing();
            for (member, lease) in self.server.leases.clone() {
                process.knows.saw(member, lease, local);
            }
            if let Some(table) = self.server.table.clone() {
                process.knows.agreed(Some(table));
            }
            let lost = process.knows.listed(local);
            process.seen = self.server.events.len().max(1);
            if lost {
                process.lose();
            }
        }
        while process.seen > 0 && process.seen < self.server.events.len() {
            let (at, event) = self.server.events[process.seen].clone();
            if now < at + TRANSIT / 2 && self.random.once_in(2) {
                break;
            }
            process.seen += 1;
            match event {
                Event::Lease(member, lease) => process.knows.saw(member, lease, local),
                Event::Gone(member) => {
                    if process.knows.gone(&member) {
                        process.lose();
                    }
                }
                Event::Table(version, table) => process.knows.agreed(Some((version, table))),
            }
        }
    }

    /// Renews, and does what it decides.
    fn act(&mut self, id: &str) {
        let (local, returns_first) = (self.local(id), self.random.once_in(2));
        let process = self.processes.get_mut(id).unwrap();
        let mut requests = Vec::new();
        if process.renewing.is_some_and(|sent| local >= sent + TERMS.renewed_every()) {
            process.renewing = None;
            process.own.answered(None);
            process.knows.unheard();
        }
        // Two tasks, of which either may be first.
        if returns_first {
            requests.extend(process.give_back(local));
        }
        if local >= process.renews && process.renewing.is_none() {
            requests.extend(process.renew(local));
        }
        if !returns_first {
            requests.extend(process.give_back(local));
        }
        if process.leaves {
            process.knows.leave();
        }
        if process.acting.is_some_and(|sent| local >= sent + TERMS.renewed_every()) {
            process.acting = None;
            process.knows.not_taken(local);
        }
        let decision = process.knows.decide(local);
        if decision.robbed {
            process.permit.0 += 1;
        }
        process.hold = decision.hold;
        let ended = |shards: &ShardSet| {
            Shard::all().filter(|s| shards.has(*s) && !process.busy.contains_key(&s.index())).collect::<ShardSet>()
        };
        let ended = ended(&decision.give).and(&ended(&decision.forget));
        process.knows.parted(&ended);
        requests.extend(decision.bury.into_iter().map(Request::Bury));
        if let Some(writing) = decision.write {
            process.acting = Some(local);
            requests.push(Request::Write(writing));
        }
        let gone = process.released.is_some_and(|until| local >= until);
        requests.into_iter().for_each(|request| self.send(id, request));
        if gone {
            self.processes.remove(id);
        }
    }

    /// Begins, goes on with and ends work in its shards.
    fn work(&mut self, id: &str) {
        let Some(process) = self.processes.get(id) else { return };
        let (local, me) = (self.local(id), process.knows.me().clone());
        let left = process.permit.1.map_or(0, |until| until.saturating_duration_since(local).as_millis());
        let left = u64::try_from(left).unwrap() * 1000 / process.rate;
        let shard = Shard::all().nth(usize::try_from(self.random.below(256)).unwrap()).unwrap();
        let length = Duration::from_millis(self.random.below(2 * LEASE));
        let process = self.processes.get_mut(id).unwrap();
        if process.hold.has(shard) && left > 0 && !process.leaves {
            let permit = process.permit.0;
            process.busy.entry(shard.index()).or_insert((permit, local + length, local + length));
        }
        process.busy.retain(|_, (.., ends)| *ends > local);
        let may = |permit: u64| permit == process.permit.0 && left > 0;
        let writes: Vec<Shard> = Shard::all()
            .filter(|shard| {
                let busy = process.busy.get(&shard.index());
                busy.is_some_and(|(permit, until, _)| may(*permit) && *until > local)
            })
            .filter(|_| self.random.once_in(4))
            .collect();
        for shard in &writes {
            // Whoever writes waits for the answer, a tenth longer than the server may take.
            let ends = &mut process.busy.get_mut(&shard.index()).unwrap().2;
            *ends = (*ends).max(process.permit.1.unwrap());
        }
        writes.into_iter().for_each(|shard| self.send(id, Request::Touch(me.clone(), shard, left * 9 / 10)));
    }

    /// True if these hold everything, and there is no Lease but theirs.
    fn is_shared_by(&self, all: &[&str]) -> bool {
        let processes = all.iter().map(|id| &self.processes[*id]);
        let held: usize = processes.clone().map(|process| process.hold.len()).sum();
        let leases: BTreeSet<&Member> = processes.map(|process| process.knows.me()).collect();
        held == 256 && self.server.leases.keys().collect::<BTreeSet<_>>() == leases
    }

    /// Something happens to somebody.
    fn trouble(&mut self) {
        let id = format!("replica-{}", self.random.below(4));
        let (now, long) = (self.now, self.random.below(3 * LEASE));
        match (self.random.below(7), self.processes.get_mut(&id)) {
            (_, None) => self.start(&id),
            (0, Some(_)) => drop(self.processes.remove(&id)),
            (1 | 2, Some(process)) => process.paused_until = now + long,
            (3 | 4, Some(process)) => process.cut_off_until = now + long,
            (5, Some(process)) => process.leave(),
            (_, Some(process)) => {
                // The watch breaks off, and begins with a list.
                process.seen = 0;
            }
        }
    }
}

impl Process {
    fn take(&mut self, answer: Answer, local: Instant) {
        match answer {
            // Whoever has waited long enough hears no more.
            Answer::Renewed(_, sent) | Answer::Lost(_, sent) if self.renewing != Some(sent) => {}
            Answer::Renewed(member, sent) => {
                self.renewing = None;
                self.own.answered(Some(member.to_string()));
                if member == *self.knows.me() && !self.own.is_returned() {
                    self.permit.1 = Some(self.knows.renewed(sent, local));
                }
            }
            Answer::Lost(member, _) => {
                self.renewing = None;
                self.own.answered(None);
                if member == *self.knows.me() && !self.own.is_returned() {
                    self.lose();
                }
            }
            Answer::Released => self.released = Some(local),
            Answer::Buried(member) => drop(self.knows.gone(&member)),
            Answer::NotBuried(member) => self.knows.not_buried(&member, local),
            Answer::Wrote(sent, taken) if self.acting == Some(sent) => {
                self.acting = None;
                if !taken {
                    self.knows.not_taken(local);
                }
            }
            Answer::Wrote(..) => {}
        }
    }

    fn leave(&mut self) {
        self.leaves = true;
        self.renews = self.start;
    }

    fn renew(&mut self, local: Instant) -> Option<Request> {
        let ask = self.own.ask(self.knows.me())?;
        self.renewing = Some(local);
        self.renews = local + TERMS.renewed_every();
        Some(match ask {
            Ask::Make(member) => Request::Join(member),
            Ask::Renew(member, _) => Request::Renew(member, self.leaves),
        })
    }

    /// Once all that was begun has ended.
    fn give_back(&mut self, local: Instant) -> Option<Request> {
        if !self.leaves || !self.busy.is_empty() || self.released.is_some() {
            return None;
        }
        self.permit = (self.permit.0 + 1, None);
        let (released, request) = match self.own.give_back() {
            Return::Nothing => (Some(local), None),
            Return::Later => (None, None),
            Return::Delete(member, _) => (Some(local + TERMS.renewed_every()), Some(Request::Release(member))),
        };
        self.released = released;
        request
    }

    fn lose(&mut self) {
        self.permit = (self.permit.0 + 1, None);
        self.runs += 1;
        let (id, runs) = (self.knows.me().id().to_owned(), self.runs);
        self.knows.lost(Member::new(&id, &format!("r{runs}")));
    }
}

/// More of them by `SEALIFT_MODEL_SEEDS=200 cargo test -p sealift-controller --lib model`.
fn seeds() -> u64 {
    std::env::var("SEALIFT_MODEL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn nobody_waits_for_the_lease_of_one_that_has_left() {
    for seed in 0..4 * seeds() {
        let mut world = World::new(seed);
        world.calm = true;
        let mut all = vec!["replica-0", "replica-1"];
        all.iter().for_each(|id| world.start(id));
        while !world.is_shared_by(&all) {
            world.step();
            assert!(world.now < 4 * LEASE, "seed {seed}: {:?}", world.server.table);
        }
        // Another comes, and one leaves at any moment: before it has joined, while it renews, while shards are given.
        world.start("replica-2");
        for _ in 0..world.random.below(LEASE / ROUND) {
            world.step();
        }
        all.push("replica-2");
        let gone = all.remove(usize::try_from(world.random.below(3)).unwrap());
        world.processes.get_mut(gone).unwrap().leave();
        while world.processes.contains_key(gone) {
            world.step();
        }
        let left = world.now;
        while !world.is_shared_by(&all) {
            world.step();
            assert!(world.now < left + LEASE, "seed {seed}: {:?}", world.server.leases);
        }
        for _ in 0..LEASE / ROUND {
            world.step();
            assert!(world.is_shared_by(&all), "seed {seed}: {:?}", world.server.leases);
        }
    }
}

#[test]
fn no_two_ever_write_to_one_shard_and_all_are_held_once_there_is_peace() {
    let (seeds, mut touched) = (seeds(), 0);
    for seed in 0..seeds {
        let mut world = World::new(seed);
        (0..3).for_each(|at| world.start(&format!("replica-{at}")));
        for _ in 0..2_000 {
            if world.random.once_in(60) {
                world.trouble();
            }
            world.step();
        }
        world.calm = true;
        for _ in 0..(8 * LEASE / ROUND) {
            world.step();
        }
        touched += world.server.touched;
        let Some((_, table)) = world.server.table.clone() else { panic!("seed {seed}: there is no table") };
        let staying = world.processes.values().filter(|process| !process.leaves);
        let staying: BTreeSet<Member> = staying.map(|process| process.knows.me().clone()).collect();
        let mut owners = Owners::default();
        owners.among(&staying.iter().collect());
        for shard in Shard::all().filter(|_| !staying.is_empty()) {
            assert_eq!(table.holder(shard), owners.of(shard), "seed {seed}: {shard:?}");
        }
        for process in world.processes.values() {
            assert_eq!(process.hold, table.held_by(process.knows.me()), "seed {seed}: {:?}", process.knows);
        }
    }
    assert!(touched > 10_000 * seeds as usize, "{touched} writes show nothing");
}
