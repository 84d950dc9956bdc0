//! How large is the learning rate at a step?

/// How the rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// It stays.
    Constant,
    /// Half a cosine from the full rate down to the floor.
    Cosine,
    /// A straight line down to the floor.
    Linear,
}

/// The rate at each step, as a share of the full one.
///
/// One-cycle training (Smith and Topin 2018) is a warm-up of 0.3 with
/// [`Shape::Cosine`] and a small floor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The share of all steps in which the rate rises in a straight line, in [0, 1).
    pub warm_up: f64,
    /// What comes then.
    pub shape: Shape,
    /// Where it ends, as a share of the full rate.
    pub floor: f64,
}

impl Schedule {
    /// The share of the full rate at `step` of `total`, over 0 in the first step.
    pub fn at(&self, step: u64, total: u64) -> f64 {
        let rising = (self.warm_up * total as f64).round();
        let step = step as f64;
        if step < rising {
            return (step + 1.0) / rising;
        }
        let rest = (total as f64 - rising - 1.0).max(1.0);
        let done = ((step - rising) / rest).clamp(0.0, 1.0);
        let share = match self.shape {
            Shape::Constant => return 1.0,
            Shape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            Shape::Linear => 1.0 - done,
        };
        self.floor + (1.0 - self.floor) * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_to_one_and_ends_at_the_floor() {
        for shape in [Shape::Cosine, Shape::Linear] {
            let schedule = Schedule { warm_up: 0.1, shape, floor: 0.01 };
            let rates: Vec<f64> = (0..200).map(|s| schedule.at(s, 200)).collect();
            assert!((rates[0] - 0.05).abs() < 1e-12 && (rates[19] - 1.0).abs() < 1e-12);
            assert!((rates[20] - 1.0).abs() < 1e-12 && (rates[199] - 0.01).abs() < 1e-12);
            assert!(rates[..20].is_sorted() && rates[20..].is_sorted_by(|a, b| a >= b));
            assert_eq!(schedule.at(500, 200), schedule.at(199, 200), "never below the floor");
        }
        let constant = Schedule { warm_up: 0.0, shape: Shape::Constant, floor: 0.0 };
        assert_eq!(constant.at(0, 10), 1.0);
        assert_eq!(constant.at(9, 10), 1.0);
    }

    #[test]
    fn one_step_is_enough() {
        let schedule = Schedule { warm_up: 0.5, shape: Shape::Cosine, floor: 0.0 };
        assert_eq!(schedule.at(0, 1), 1.0);
    }
}
