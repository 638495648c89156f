//! Seeded draws: the same seed gives the same simulation everywhere.

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// Each factor as likely as any other between two values.
    pub fn log_between(&mut self, low: f64, high: f64) -> f64 {
        (self.between(low.ln(), high.ln())).exp()
    }

    /// Around a median; `sigma` is that of the logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        median * (sigma * radius * (std::f64::consts::TAU * self.unit()).cos()).exp()
    }

    /// The time until the next of events that come `per_ms` often, independently.
    pub fn waiting(&mut self, per_ms: f64) -> f64 {
        -(1.0 - self.unit()).ln() / per_ms
    }
}

/// Which of `count`, the n-th as often as `1 / n^skew`.
pub struct Zipf(Vec<f64>);

impl Zipf {
    pub fn new(count: usize, skew: f64) -> Self {
        let mut sum = 0.0;
        let mut ends: Vec<f64> = (1..=count)
            .map(|n| {
                sum += 1.0 / (n as f64).powf(skew);
                sum
            })
            .collect();
        for end in &mut ends {
            *end /= sum;
        }
        Self(ends)
    }

    pub fn draw(&self, draw: &mut Draw) -> usize {
        let at = draw.unit();
        self.0.partition_point(|end| *end <= at).min(self.0.len() - 1)
    }
}
