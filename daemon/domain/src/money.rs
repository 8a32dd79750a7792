//! Amounts in minor units as decimals, without floating point: pence, yen and fils have their own number of places.

/// Currencies without a minor unit, with thousandths, and with ten-thousandths (ISO 4217); all others have hundredths.
const WHOLE: [&str; 17] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
const THOUSANDTHS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
const TEN_THOUSANDTHS: [&str; 2] = ["CLF", "UYW"];

/// How many decimal places an amount of this currency has, in whatever case it is written.
#[must_use]
pub fn places(currency: &str) -> usize {
    let currency = currency.trim().to_ascii_uppercase();
    let is_in = |list: &[&str]| list.contains(&currency.as_str());
    match () {
        () if is_in(&WHOLE) => 0,
        () if is_in(&THOUSANDTHS) => 3,
        () if is_in(&TEN_THOUSANDTHS) => 4,
        () => 2,
    }
}

/// An amount of minor units as a decimal: `12696.00`, `1269600` of yen.
#[must_use]
pub fn decimal(minor: i128, currency: &str) -> String {
    let places = places(currency);
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_currency_has_its_places() {
        for (minor, currency, expected) in [
            (0, "GBP", "0.00"),
            (5, "GBP", "0.05"),
            (-5, "gbp", "-0.05"),
            (1_269_600, "GBP", "12696.00"),
            (1_269_600, "", "12696.00"),
            (1_269_600, "JPY", "1269600"),
            (-7, " jpy ", "-7"),
            (1_269_600, "KWD", "1269.600"),
            (1, "KWD", "0.001"),
            (12_345, "CLF", "1.2345"),
            (i128::MIN, "GBP", "-1701411834604692317316873037158841057.28"),
        ] {
            assert_eq!(decimal(minor, currency), expected, "{minor} {currency}");
        }
    }
}
