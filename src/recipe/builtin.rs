//! tmp
pub struct Builtin {
    pub name: &'static str,
    pub text: &'static str,
    pub lock: Option<&'static str>,
}
pub fn all() -> &'static [Builtin] {
    &[]
}
pub fn find(name: &str) -> Option<&'static Builtin> {
    all().iter().find(|b| b.name == name)
}
