//! Numbers as text, for lines that are written for every request.

/// Appends a whole number.
pub(crate) fn push_decimal(out: &mut Vec<u8>, value: u64) {
    let digits = value.checked_ilog10().unwrap_or(0) as usize + 1;
    push_digits(out, value, digits);
}

/// Appends the last `digits` digits of a number, with leading zeros.
pub(crate) fn push_digits(out: &mut Vec<u8>, value: u64, digits: usize) {
    let start = out.len();
    out.resize(start + digits, b'0');
    let mut rest = value;
    for digit in out[start..].iter_mut().rev() {
        *digit += u8::try_from(rest % 10).expect("a digit is less than ten");
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_read() {
        for value in [0, 7, 10, 99, 100, 12_034, u64::MAX] {
            let mut out = b"x".to_vec();
            push_decimal(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{value}"));
        }
    }

    #[test]
    fn fixed_digits_have_leading_zeros() {
        let mut out = Vec::new();
        push_digits(&mut out, 34, 3);
        assert_eq!(out, b"034");
    }
}
