//! JSON pointers (RFC 6901) as a walk over a value writes them.

/// A key as a step of a pointer.
pub fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// Does `work` one step further in, and steps back.
pub fn within<T>(pointer: &mut String, step: &str, work: impl FnOnce(&mut String) -> T) -> T {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&escaped(step));
    let result = work(pointer);
    pointer.truncate(length);
    result
}
