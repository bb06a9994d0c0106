//! Finds the word that was probably meant.

/// The candidate nearest to `word`, if one is near enough to be a slip of the
/// hand or another way of writing the same (`max_body` for `maxBody`).
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bare = letters(word);
    let allowed = (bare.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&bare, &letters(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *candidate != word)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Lower case, no separators. Cut short, because distance is quadratic.
fn letters(word: &str) -> String {
    word.chars().take(128).filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slip_of_the_hand_finds_the_word() {
        let known = ["subjects", "tools", "when", "rateLimits"];
        for (word, meant) in [
            ("subject", Some("subjects")),
            ("tolos", Some("tools")),
            ("rate_limits", Some("rateLimits")),
            ("ratelimit", Some("rateLimits")),
            ("whne", Some("when")),
            ("colour", None),
        ] {
            assert_eq!(closest(word, known), meant, "{word}");
        }
    }
}
