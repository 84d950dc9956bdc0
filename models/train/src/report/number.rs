//! How is a number written for a reader?

/// Stands for what is not a number.
pub(super) const NONE: &str = "–";

/// With `places` decimals and a real minus.
pub(super) fn fixed(value: f64, places: usize) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    let text = format!("{value:.places$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.bytes().all(|b| b == b'0' || b == b'.') => zero.into(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// Three significant digits; very small and very large ones as 1.2e-5.
pub(super) fn short(value: f64) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    let size = value.abs();
    if size == 0.0 {
        "0".into()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.1e}").replace('-', "−")
    } else {
        fixed(value, (2 - size.log10().floor() as i32).clamp(0, 5) as usize)
    }
}

/// A share as percent, without the sign.
pub(super) fn percent(share: f64) -> String {
    fixed(100.0 * share, 1)
}

/// 12 345.
pub(super) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// 48 s, 1 min 52 s, 3 h 4 min.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.into();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{} s", fixed(seconds, if seconds < 10.0 { 1 } else { 0 })),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `1 pair`, `2 pairs`.
pub(super) fn of(value: usize, one: &str) -> String {
    format!("{} {one}{}", count(value), if value == 1 { "" } else { "s" })
}
