//! How many deliveries died in the last day, as bars.

use jiff::Timestamp;

use crate::console::theme::Theme;

/// How long a day is, in seconds.
const DAY: i64 = 86_400;

/// The last day as so many bars, the newest at the right end.
pub fn bars(points: &[(Timestamp, u64)], count: usize, now: Timestamp, theme: Theme) -> String {
    if theme.plain {
        return String::new();
    }
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const PLAIN: [char; 8] = ['.', '.', '-', '-', '=', '=', '#', '#'];
    let mut sums = vec![0_u64; count];
    let width = DAY / i64::try_from(count.max(1)).unwrap_or(1);
    for (at, deliveries) in points {
        let age = now.as_second() - at.as_second();
        let bar = usize::try_from(age.max(0) / width).unwrap_or(usize::MAX);
        if let Some(sum) = count.checked_sub(bar.saturating_add(1)).and_then(|bar| sums.get_mut(bar)) {
            *sum += deliveries;
        }
    }
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    let bars = if theme.ascii { PLAIN } else { BARS };
    let bar = |sum: u64| usize::try_from((sum * 7).div_ceil(most)).unwrap_or(7).min(7);
    sums.iter().map(|sum| bars[bar(*sum)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::theme::Depth;

    #[test]
    fn a_trend_is_bars_of_equal_spans() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let ago = |seconds: i64| Timestamp::from_second(1_800_000_000 - seconds).unwrap();
        let points = [(ago(60), 8), (ago(7300), 4), (ago(86_000), 1), (ago(90_000), 100)];
        let theme = Theme { depth: Depth::Mono, ascii: false, plain: false };
        assert_eq!(bars(&points, 12, now, theme), "▂▁▁▁▁▁▁▁▁▁▅█");
        assert_eq!(bars(&points, 6, now, theme), "▂▁▁▁▁█");
        assert_eq!(bars(&points, 0, now, theme), "");
        assert_eq!(bars(&[], 12, now, Theme { ascii: true, ..theme }), "............");
    }
}
