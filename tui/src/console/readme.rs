//! The README shows screens as they are drawn now.

use super::app::pictures::shown;
use super::fixtures::{live, visit};

#[test]
fn the_readme_shows_what_is_drawn() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let mut wanted = readme.clone();
    for (name, keys) in [("failures", "2"), ("lead", "3 s a r a h enter down")] {
        let mut app = live(100, 28);
        visit(&mut app, keys);
        let mark = format!("<!-- screen: {name} -->\n```text\n");
        let start = wanted.find(&mark).unwrap() + mark.len();
        let end = start + wanted[start..].find("```\n").unwrap();
        wanted.replace_range(start..end, &format!("{}\n", shown(&app)));
    }
    if std::env::var_os("INSTA_UPDATE").is_some_and(|how| how == "always") {
        std::fs::write(path, &wanted).unwrap();
    } else {
        assert!(readme == wanted, "the README shows other screens: run this test with INSTA_UPDATE=always");
    }
}
