//! How something grows with a size: the slope of a line through the logarithms of both.

/// By least squares: 1 for what doubles with the size, 0 for what does not depend on it. What is not above 0 has no
/// logarithm and is left out; `None` if less than two are left.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let points = points.iter().filter(|(size, value)| *size > 0.0 && *value > 0.0);
    let points: Vec<(f64, f64)> = points.map(|(size, value)| (size.ln(), value.ln())).collect();
    if points.len() < 2 {
        return None;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let alone: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    Some(together / alone)
}
