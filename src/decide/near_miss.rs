//! Which name somebody may have meant who wrote another one.

/// The name that somebody may have meant by `wanted`: the nearest one, if it is near enough for a slip, or one that is
/// the other's beginning, as `prod` is of `production`. Case does not count.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    names
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let begins =
                wanted.len() >= 3 && lower.starts_with(&wanted) || lower.len() >= 3 && wanted.starts_with(&lower);
            let distance = if begins { 0 } else { strsim::damerau_levenshtein(&wanted, &lower) };
            (distance <= 1 + wanted.chars().count() / 4).then_some((distance, name))
        })
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        for (wanted, suggestion) in [
            ("prod", Some("production")),
            ("prodution", Some("production")),
            ("Production", Some("production")),
            ("stagign", Some("staging")),
            ("tset", Some("test")),
            ("integration", None),
            ("xy", None),
        ] {
            assert_eq!(nearest(wanted, ["production", "staging", "test"].into_iter()), suggestion, "{wanted}");
        }
    }
}
