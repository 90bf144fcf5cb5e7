use serde_json::json;

use sealift_verify::objects::Object;

use super::*;
use crate::{
    api::{ADOPT_ANNOTATION, Mark, OWNER_LABEL},
    cluster::ClusterError,
    drift::{Asked, Ended, Limit},
};
use kube::api::ApiResource;

fn object(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Object {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    let value = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let id = ObjectId {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        namespace: namespace.map(str::to_owned),
        name: name.into(),
    };
    Object { id, value, origin: Default::default() }
}

fn config_map(name: &str) -> Object {
    object("v1", "ConfigMap", Some("apps"), name)
}

fn delivery(uid: &str) -> DeliveryReference {
    DeliveryReference { namespace: "apps".into(), name: format!("delivery-{uid}"), uid: uid.into() }
}

fn resource(id: &ObjectId) -> Resource {
    let api = ApiResource {
        group: id.group.clone(),
        version: id.version.clone(),
        api_version: id.api_version(),
        kind: id.kind.clone(),
        plural: format!("{}s", id.kind.to_lowercase()),
    };
    let cluster = ["ClusterRole", "CustomResourceDefinition", "Namespace"].contains(&id.kind.as_str());
    Resource { api, namespaced: !cluster, has_status: true }
}

fn meta(owner: LiveOwner) -> Meta {
    let mark = Mark { uid: "x".into(), generation: Some(3), fields: Some("f".into()), time: None, others: None };
    Meta {
        mark,
        resource_version: "7".into(),
        deleting: false,
        owner,
        keep: false,
        owned: false,
        writers: vec![],
        break_glass: None,
    }
}

fn ours() -> Meta {
    meta(LiveOwner::Delivery { uid: "u1".into(), name: "apps/delivery-u1".into() })
}

/// Everything absent but what is said to be there.
fn live(objects: &[Object], present: Vec<(&Object, Meta)>) -> Live {
    let mut live = Live::default();
    for object in objects {
        live.seen.insert(Key::of(&object.id), Seen::Absent(resource(&object.id)));
    }
    for (object, meta) in present {
        live.seen.insert(Key::of(&object.id), Seen::Present(resource(&object.id), meta));
    }
    live
}

/// The inventory after `objects` were applied and looked like `meta`.
fn applied(objects: &[Object], meta: &Meta) -> Inventory {
    let mut inventory = Inventory::empty(delivery("u1"));
    for object in objects {
        let content = canonical::digest(&stamped(&object.value, Some(&delivery("u1"))));
        inventory.record(&object.id, content, meta.mark.clone());
    }
    inventory
}

fn planned(objects: &[Object], inventory: &Inventory, live: Live) -> Preview {
    steps(&Objects::new(objects.to_vec()).unwrap(), Some(inventory), live, &Options::default())
}

fn only(preview: &Preview) -> &Todo {
    assert!(preview.refused.is_empty(), "{:?}", preview.refused);
    &preview.steps().next().unwrap().todo
}

fn refusal(preview: &Preview) -> String {
    assert_eq!(preview.steps().count(), 0);
    preview.refused[0].why.to_string()
}

#[test]
fn creates_what_is_absent_with_its_owner() {
    let one = [config_map("a")];
    let preview = planned(&one, &Inventory::empty(delivery("u1")), live(&one, vec![]));
    let Todo::Create(value) = only(&preview) else { panic!("{preview:?}") };
    assert_eq!(value["metadata"]["labels"][OWNER_LABEL], "u1");
}

#[test]
fn leaves_alone_what_nobody_touched() {
    let one = [config_map("a")];
    let preview = planned(&one, &applied(&one, &ours()), live(&one, vec![(&one[0], ours())]));
    assert_eq!(*only(&preview), Todo::Unchanged);
    assert!(preview.is_noop());
}

#[test]
fn checks_what_moved_and_configures_what_has_other_content() {
    let one = [config_map("a")];
    let moved = |change: fn(&mut Mark)| {
        let mut meta = ours();
        change(&mut meta.mark);
        planned(&one, &applied(&one, &ours()), live(&one, vec![(&one[0], meta)]))
    };
    for change in [
        (|mark: &mut Mark| mark.generation = Some(4)) as fn(&mut Mark),
        |mark| mark.uid = "y".into(),
        |mark| mark.fields = None,
        |mark| mark.time = Some("2026-01-01T00:00:00Z".into()),
        |mark| mark.others = Some("o".into()),
    ] {
        assert!(matches!(only(&moved(change)), Todo::Check(_)));
    }
    let mut new = one.clone();
    new[0].value["data"] = json!({"k": "v"});
    let preview = planned(&new, &applied(&one, &ours()), live(&new, vec![(&new[0], ours())]));
    assert!(matches!(only(&preview), Todo::Configure(_)));
}

#[test]
fn a_row_that_was_only_claimed_is_written_again() {
    let one = [config_map("a")];
    let mut inventory = Inventory::empty(delivery("u1"));
    inventory.claim([&one[0].id]);
    let preview = planned(&one, &inventory, live(&one, vec![(&one[0], ours())]));
    assert!(matches!(only(&preview), Todo::Configure(_)));
}

#[test]
fn prunes_what_is_recorded_and_not_in_the_release() {
    let two = [config_map("a"), config_map("b")];
    let preview = planned(&two[..1], &applied(&two, &ours()), live(&two, vec![(&two[0], ours()), (&two[1], ours())]));
    assert_eq!(preview.prunes().iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_job_that_ran_is_made_again_only_for_new_content() {
    let job = [object("batch/v1", "Job", Some("apps"), "migrate")];
    let absent = || live(&job, vec![]);
    assert!(matches!(only(&planned(&job, &applied(&job, &ours()), absent())), Todo::Skip(_)));
    assert!(matches!(only(&planned(&job, &Inventory::empty(delivery("u1")), absent())), Todo::Create(_)));
    let config = [config_map("a")];
    let preview = planned(&config, &applied(&config, &ours()), live(&config, vec![]));
    assert!(matches!(only(&preview), Todo::Create(_)), "anything else that was deleted is made again");
}

#[test]
fn adopts_what_nobody_owns() {
    let one = [config_map("a")];
    let preview =
        planned(&one, &Inventory::empty(delivery("u1")), live(&one, vec![(&one[0], meta(LiveOwner::Nobody))]));
    assert!(matches!(only(&preview), Todo::Configure(_)));
}

#[test]
fn refuses_what_another_tool_manages_unless_the_release_adopts_it() {
    let mut one = [config_map("a")];
    let flux = || meta(LiveOwner::Elsewhere("Flux Kustomization apps/shop".into()));
    let inventory = Inventory::empty(delivery("u1"));
    let refused = planned(&one, &inventory, live(&one, vec![(&one[0], flux())]));
    assert!(refusal(&refused).contains("Flux Kustomization apps/shop"));
    one[0].value["metadata"]["annotations"] = json!({ADOPT_ANNOTATION: "enabled"});
    assert!(matches!(only(&planned(&one, &inventory, live(&one, vec![(&one[0], flux())]))), Todo::Configure(_)));
}

#[test]
fn takes_over_from_another_delivery_only_what_that_one_no_longer_wants() {
    let one = [config_map("a")];
    let theirs = || meta(LiveOwner::Delivery { uid: "u2".into(), name: "apps/delivery-u2".into() });
    let inventory = Inventory::empty(delivery("u1"));
    let wanting = |keys: BTreeSet<Key>| {
        let mut live = live(&one, vec![(&one[0], theirs())]);
        live.owners.insert("u2".into(), (delivery("u2"), keys));
        planned(&one, &inventory, live)
    };
    let refused = wanting(BTreeSet::from([Key::of(&one[0].id)]));
    assert!(refusal(&refused).contains("apps/delivery-u2"));
    let claim = &refused.claims[0];
    assert_eq!((&claim.step.id, claim.from.as_str()), (&one[0].id, "u2"), "it is claimed, to be handed over");
    assert!(matches!(only(&wanting(BTreeSet::new())), Todo::Configure(_)));
    let gone = planned(&one, &inventory, live(&one, vec![(&one[0], theirs())]));
    assert!(matches!(only(&gone), Todo::Configure(_)), "a Delivery without an inventory wants nothing");
}

#[test]
fn refuses_what_cannot_be_applied_as_it_is_and_names_every_object() {
    let objects = [
        object("v1", "ConfigMap", None, "nowhere"),
        object("rbac.authorization.k8s.io/v1", "ClusterRole", Some("apps"), "somewhere"),
        object("example.com/v1", "Widget", Some("apps"), "unknown"),
        config_map("going"),
        config_map("unreadable"),
        config_map("fine"),
        object("sealift.dev/v1alpha1", "AcceptedRelease", None, "memory"),
    ];
    let mut live = live(&objects, vec![(&objects[3], Meta { deleting: true, ..ours() })]);
    live.seen.insert(Key::of(&objects[2].id), Seen::UnknownKind);
    live.seen.insert(Key::of(&objects[4].id), Seen::Unknown(ClusterError::Timeout { seconds: 1 }));
    let preview = planned(&objects, &Inventory::empty(delivery("u1")), live);
    let found: BTreeMap<_, _> = preview.refused.iter().map(|r| (r.id.name.as_str(), r.why.to_string())).collect();
    for (name, words) in [
        ("nowhere", "names no namespace"),
        ("somewhere", "is cluster-scoped but names the namespace \"apps\""),
        ("unknown", "defines Widget in example.com/v1"),
        ("going", "is being deleted"),
        ("unreadable", "did not answer"),
        ("memory", "only the controller writes"),
    ] {
        assert!(found[name].contains(words), "{name}: {}", found[name]);
    }
    assert_eq!((found.len(), preview.steps().count()), (6, 1));
}

#[test]
fn takes_kinds_that_the_release_defines_itself() {
    let mut definition = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "widgets.example.com");
    definition.value["spec"] = json!({"group": "example.com", "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [{"name": "v1", "served": true}, {"name": "v1beta1", "served": false}]});
    let (new, old) = (
        object("example.com/v1", "Widget", Some("apps"), "new"),
        object("example.com/v1beta1", "Widget", Some("apps"), "old"),
    );
    let objects = [definition, new, old];
    let mut live = live(&objects[..1], vec![]);
    for object in &objects[1..] {
        live.seen.insert(Key::of(&object.id), Seen::UnknownKind);
    }
    let preview = planned(&objects, &Inventory::empty(delivery("u1")), live);
    let widget = &preview.stages[&Stage::Workloads][0];
    assert_eq!(
        (widget.id.name.as_str(), widget.defined_here, widget.resource.api.plural.as_str()),
        ("new", true, "widgets")
    );
    assert_eq!(preview.refused[0].id.name, "old", "a version that is not served is an unknown kind");
}

/// An object that hands have changed, and what they ask for.
fn by_hand(until: Option<i64>) -> Meta {
    let until = until.map(|second| Timestamp::from_second(second).unwrap());
    let mark = Mark { generation: Some(4), ..ours().mark };
    Meta { mark, break_glass: Some(Box::new(Asked { until, reason: Some("disk full".into()) })), ..ours() }
}

fn limited(objects: &[Object], inventory: &Inventory, live: Live, mode: DriftMode) -> Preview {
    let limit = Limit { now: Timestamp::from_second(1000).unwrap(), longest: std::time::Duration::from_secs(3600) };
    let mut options = Options { break_glass: Some(limit), ..Options::default() };
    options.drift.mode = mode;
    steps(&Objects::new(objects.to_vec()).unwrap(), Some(inventory), live, &options)
}

#[test]
fn what_hands_ask_to_be_left_is_left_and_told_for_its_time() {
    let one = [config_map("a")];
    let inventory = applied(&one, &ours());
    let planned = |meta: Meta, mode| limited(&one, &inventory, live(&one, vec![(&one[0], meta)]), mode);
    let until = Timestamp::from_second(2000).unwrap();
    for mode in [DriftMode::Correct, DriftMode::Report] {
        let preview = planned(by_hand(Some(2000)), mode);
        assert!(preview.is_noop());
        let step = preview.steps().next().unwrap();
        assert_eq!((&step.todo, step.ends_break_glass), (&Todo::Skip(HELD), false));
        let found = step.look.as_ref().unwrap().found.as_ref().unwrap();
        assert_eq!((found.state, found.until), (DriftState::Held, Some(until)));
        assert_eq!(found.what, "held for a break-glass change until 1970-01-01T00:33:20Z: disk full");
    }
    // Also where nothing but the annotation was written yet.
    let asked = Meta { mark: ours().mark, ..by_hand(Some(2000)) };
    assert_eq!(*only(&planned(asked, DriftMode::Correct)), Todo::Skip(HELD));
}

#[test]
fn a_change_by_hand_ends_with_its_time_and_its_annotations_go() {
    let one = [config_map("a")];
    let inventory = applied(&one, &ours());
    let planned = |meta: Meta, mode| {
        let mut live = live(&one, vec![(&one[0], meta)]);
        // It was judged while it was held, and looks as it did then.
        live.settled.insert(Key::of(&one[0].id));
        limited(&one, &inventory, live, mode)
    };
    let longest = std::time::Duration::from_secs(3600);
    for (until, ended) in [(Some(1000), Ended::Past), (Some(9000), Ended::TooLong(longest)), (None, Ended::Unreadable)]
    {
        for mark in [by_hand(None).mark, ours().mark] {
            let preview = planned(Meta { mark, ..by_hand(until) }, DriftMode::Correct);
            let step = preview.steps().next().unwrap();
            assert!(matches!(step.todo, Todo::Check(_)) && step.ends_break_glass, "{step:?}");
            assert_eq!(step.sign, Some(Sign::BreakGlass(ended)));
        }
    }
    let told = planned(by_hand(Some(1000)), DriftMode::Report);
    assert_eq!(*only(&told), Todo::Unchanged, "where drift is only told, nothing is written");
}

#[test]
fn a_change_by_hand_is_no_reason_against_a_release_or_another_owner() {
    let one = [config_map("a")];
    let mut new = one.clone();
    new[0].value["data"] = json!({"k": "v"});
    let inventory = applied(&one, &ours());
    let held = || by_hand(Some(2000));
    let limited = |objects: &[Object], inventory: &Inventory, meta| {
        limited(objects, inventory, live(objects, vec![(&objects[0], meta)]), DriftMode::Correct)
    };
    let preview = limited(&new, &inventory, held());
    let step = preview.steps().next().unwrap();
    assert!(matches!(step.todo, Todo::Configure(_)) && step.ends_break_glass, "{step:?}");
    let fields = Meta { mark: Mark { fields: None, ..held().mark }, ..held() };
    assert!(matches!(only(&limited(&one, &inventory, fields)), Todo::Check(_)), "nothing of it was applied");
    // Whoever puts an object of that name there without the label has no say in what becomes of it.
    for owner in [LiveOwner::Nobody, LiveOwner::Delivery { uid: "u2".into(), name: "apps/delivery-u2".into() }] {
        let preview = limited(&one, &inventory, Meta { owner, ..held() });
        assert!(matches!(only(&preview), Todo::Check(_)), "{preview:?}");
    }
    assert!(matches!(only(&limited(&one, &Inventory::empty(delivery("u1")), held())), Todo::Configure(_)));
    let off = planned(&one, &inventory, live(&one, vec![(&one[0], held())]));
    let step = off.steps().next().unwrap();
    assert!(matches!(step.todo, Todo::Check(_)) && !step.ends_break_glass, "the platform holds nothing: {step:?}");
    let mut signed = one.clone();
    signed[0].value["metadata"]["annotations"] = json!({BREAK_GLASS_UNTIL_ANNOTATION: "1970-01-01T00:33:20Z"});
    let inventory = applied(&signed, &ours());
    assert!(matches!(only(&limited(&signed, &inventory, held())), Todo::Check(_)), "a release says so of itself");
}
