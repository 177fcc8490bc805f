//! Patterns with `*` and `?`, for names and texts.
//!
//! Knows no files: a slash is a character like any other.

/// Tells whether `name` fits a pattern with `*` and `?`.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let mut fits = vec![false; name.len() + 1];
    fits[0] = true;
    for symbol in pattern {
        let mut before = fits[0];
        fits[0] = before && symbol == '*';
        for at in 0..name.len() {
            let old = fits[at + 1];
            fits[at + 1] = match symbol {
                '*' => old || fits[at],
                '?' => before,
                exact => before && exact == name[at],
            };
            before = old;
        }
    }
    fits[name.len()]
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name) in [
            ("*.pdf", "a.pdf"),
            ("*", ""),
            ("a?c", "abc"),
            ("a*b*c", "a-b-b-c"),
            ("ação*", "ação.txt"),
        ] {
            assert!(glob(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn other_names_do_not_fit() {
        for (pattern, name) in [
            ("*.pdf", "a.pdf.exe"),
            ("", "a"),
            ("a?c", "ac"),
            ("a*b", "a-b-c"),
        ] {
            assert!(!glob(pattern, name), "{pattern} {name}");
        }
    }
}
