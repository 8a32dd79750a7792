//! Which user this process runs as, and what the system calls other users. Without `unsafe` nothing else in reach tells
//! this but the program `id`.

use std::{io, process::Command, sync::OnceLock};

/// What root is.
const ROOT: u32 = 0;

/// The user that this process runs as.
pub fn own_uid() -> io::Result<u32> {
    static OWN: OnceLock<u32> = OnceLock::new();
    if let Some(uid) = OWN.get() {
        return Ok(*uid);
    }
    let uid = number("-u", None)?.ok_or_else(|| io::Error::other("`id -u` failed"))?;
    Ok(*OWN.get_or_init(|| uid))
}

/// Whether this process runs as root.
pub fn is_root() -> io::Result<bool> {
    Ok(own_uid()? == ROOT)
}

/// The user and its main group, by the user's name; none if there is no such user.
pub fn find(name: &str) -> io::Result<Option<(u32, u32)>> {
    Ok(number("-u", Some(name))?.zip(number("-g", Some(name))?))
}

/// What a user is called; its number if it has no name.
#[must_use]
pub fn name(uid: u32) -> String {
    let uid = uid.to_string();
    match Command::new("id").args(["-un", &uid]).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => uid,
    }
}

fn number(what: &str, user: Option<&str>) -> io::Result<Option<u32>> {
    let output = Command::new("id").arg(what).args(user).output()?;
    if !output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map(Some).map_err(|_| io::Error::other(format!("`id {what}` printed {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_named_by_number() {
        assert_eq!(find("root").unwrap(), Some((0, 0)));
        assert_eq!(find("no such user").unwrap(), None);
        assert_eq!(name(0), "root");
        assert_eq!(name(4_000_000_000), "4000000000");
        assert_eq!(is_root().unwrap(), own_uid().unwrap() == 0);
    }
}
