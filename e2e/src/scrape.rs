//! Prometheus' text format -> the value of a metric, for both rings.

/// The sum of a metric's samples that have all of `labels`; none: there is no such sample.
pub fn sum(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, set) = series.split_once('{').unwrap_or((series, ""));
        (found == name && labels.iter().all(|label| set.contains(label))).then(|| value.parse::<f64>().ok())?
    });
    let first = values.next()?;
    Some(values.fold(first, |sum, value| sum + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_one_name_with_all_of_the_labels_are_added_up() {
        let text = "# TYPE tasks_total counter\ntasks_total{code=\"a\",end=\"x\"} 1\ntasks_total{code=\"b\",end=\"x\"} 2.5\n\
                    tasks_total_more{code=\"a\"} 9\nidle 0\n";
        assert_eq!(sum(text, "tasks_total", &[]), Some(3.5));
        assert_eq!(sum(text, "tasks_total", &["\"x\"", "\"b\""]), Some(2.5));
        assert_eq!(sum(text, "tasks_total", &["\"c\""]), None);
        assert_eq!(sum(text, "tasks", &[]), None);
        assert_eq!(sum(text, "idle", &[]), Some(0.0));
    }
}
