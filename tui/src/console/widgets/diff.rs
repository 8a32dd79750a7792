//! Two texts compared line by line.

/// More lines than this are not compared: the table of it would be large, and nobody reads it.
const LINES_MAX: usize = 800;

/// A line of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// What became of the lines of `old` in `new`; `None` if there are too many.
pub fn lines<'a>(old: &'a str, new: &'a str) -> Option<Vec<Compared<'a>>> {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    if a.len() > LINES_MAX || b.len() > LINES_MAX {
        return None;
    }
    // common[i][j]: how many lines are common to what begins at i and at j.
    let mut common = vec![vec![0_u16; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] =
                if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            out.push(Compared::Same(a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j >= b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            out.push(Compared::Gone(a[i]));
            i += 1;
        } else {
            out.push(Compared::New(b[j]));
            j += 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::Compared::{Gone, New, Same};
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let compared = lines("a\nb\nc", "a\nx\nc\nd").unwrap();
        assert_eq!(compared, [Same("a"), Gone("b"), New("x"), Same("c"), New("d")]);
        assert_eq!(lines("", "").unwrap(), []);
        assert_eq!(lines(&"x\n".repeat(801), ""), None);
    }
}
