//! Reads the text format of metrics.

/// The sum of the samples of `name` that bear all of `labels`.
pub(super) fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (own, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest.starts_with(' ').then_some(rest)?),
        };
        let bears = |(label, value): &(&str, &str)| own.contains(&format!("{label}=\"{value}\""));
        labels.iter().all(bears).then(|| value.trim().parse::<f64>().ok())?
    });
    samples.sum()
}
