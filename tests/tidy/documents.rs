//! Documents lead somewhere.

use super::{check, files, root};

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for (path, text) in files("", ".md") {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', ' ']).next().unwrap();
            let file = target.split('#').next().unwrap();
            if !target.contains("://")
                && !target.starts_with("mailto:")
                && !file.is_empty()
                && !folder.join(file).exists()
            {
                findings.push(format!("{path}: {target}"));
            }
        }
    }
    check("links that lead nowhere", &findings);
}
