//! How far apart are two places on the Earth?

use std::fmt;

/// The Earth's mean radius (IUGG) in metres.
const EARTH: f64 = 6_371_008.8;
/// Units of a [`Place`] in one degree.
const PER_DEGREE: f64 = 1e7;

/// A place on the Earth, to 10⁻⁷ degrees (about a centimetre).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    latitude: i32,
    longitude: i32,
}

impl Place {
    /// Of degrees north and east; `None` unless within ±90 and ±180.
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let within = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        let [latitude, longitude] = [latitude, longitude].map(|d| (d * PER_DEGREE).round() as i32);
        within.then_some(Self { latitude, longitude })
    }

    /// Of units of 10⁻⁷ degrees.
    pub(crate) fn of_units(latitude: i64, longitude: i64) -> Option<Self> {
        Self::new(latitude as f64 / PER_DEGREE, longitude as f64 / PER_DEGREE)
    }

    /// In units of 10⁻⁷ degrees.
    pub(crate) fn units(self) -> (i64, i64) {
        (self.latitude.into(), self.longitude.into())
    }

    /// Degrees north, −90 to 90.
    pub fn latitude(self) -> f64 {
        f64::from(self.latitude) / PER_DEGREE
    }

    /// Degrees east, −180 to 180.
    pub fn longitude(self) -> f64 {
        f64::from(self.longitude) / PER_DEGREE
    }

    /// As a point of the unit sphere: distances are then sums and products, which
    /// the catalogue can do as well.
    pub(crate) fn point(self) -> [f64; 3] {
        let (sin, cos) = self.latitude().to_radians().sin_cos();
        let (east, zero) = self.longitude().to_radians().sin_cos();
        [cos * zero, cos * east, sin]
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.latitude(), self.longitude())
    }
}

/// A length along the ground, to the millimetre; more than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Distance {
    millimetres: u64,
}

impl Distance {
    /// Of millimetres; `None` for 0, and for more than 100,000 km, which is
    /// beyond every place.
    pub fn of_millimetres(millimetres: u64) -> Option<Self> {
        (1..=100_000_000_000).contains(&millimetres).then_some(Self { millimetres })
    }

    /// In metres.
    pub fn metres(self) -> f64 {
        self.millimetres as f64 / 1000.0
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mm = self.millimetres;
        let (whole, part, digits, unit) = match mm {
            _ if mm.is_multiple_of(1_000_000) => (mm / 1_000_000, 0, 0, "km"),
            _ => (mm / 1000, mm % 1000, 3, "m"),
        };
        if part == 0 {
            return write!(f, "{whole}{unit}");
        }
        let part = format!("{part:0digits$}");
        write!(f, "{whole}.{}{unit}", part.trim_end_matches('0'))
    }
}

/// All places within a distance of one, on a sphere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Near {
    /// The middle.
    pub place: Place,
    /// How far off one may be.
    pub radius: Distance,
}

impl Near {
    /// The square of the longest straight line, through the Earth, from the
    /// middle, if the Earth's radius is 1.
    pub(crate) fn chord_squared(self) -> f64 {
        let angle = self.radius.metres() / EARTH;
        let chord = 2.0 * (angle / 2.0).min(std::f64::consts::FRAC_PI_2).sin();
        // At the far side rounding must not leave anyone out.
        if angle >= std::f64::consts::PI { 5.0 } else { chord * chord }
    }

    /// Latitudes beyond which nothing is near enough, in a place's units; a
    /// little too wide.
    pub(crate) fn latitudes(self) -> (i64, i64) {
        let reach = (self.radius.metres() / EARTH).to_degrees() * PER_DEGREE;
        let (reach, at) = (reach.ceil() as i64 + 100, i64::from(self.place.latitude));
        (at - reach, at + reach)
    }

    /// Whether `place` is near enough.
    pub fn holds(self, place: Place) -> bool {
        let ([x, y, z], [a, b, c]) = (place.point(), self.place.point());
        (x - a) * (x - a) + (y - b) * (y - b) + (z - c) * (z - c) <= self.chord_squared()
    }
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.place, self.radius)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(latitude: f64, longitude: f64) -> Place {
        Place::new(latitude, longitude).expect("on the Earth")
    }

    fn near(place: Place, metres: u64) -> Near {
        Near { place, radius: Distance::of_millimetres(metres * 1000).expect("a distance") }
    }

    /// Great-circle distance in metres by the haversine formula.
    fn haversine(a: Place, b: Place) -> f64 {
        let half = |d: f64| (d.to_radians() / 2.0).sin().powi(2);
        let cos = a.latitude().to_radians().cos() * b.latitude().to_radians().cos();
        let h = half(a.latitude() - b.latitude()) + cos * half(a.longitude() - b.longitude());
        2.0 * EARTH * h.sqrt().min(1.0).asin()
    }

    #[test]
    fn berlin_and_potsdam() {
        // Brandenburg Gate to Sanssouci: 26.2 km on the sphere.
        let (gate, palace) = (place(52.516_275, 13.377_704), place(52.404_167, 13.038_333));
        assert!((haversine(gate, palace) - 26_180.0).abs() < 200.0, "{}", haversine(gate, palace));
        assert!(!near(gate, 25_000).holds(palace));
        assert!(near(gate, 27_500).holds(palace));
        // Over the date line and over a pole.
        assert!(near(place(0.0, 179.999), 1_000).holds(place(0.0, -179.999)));
        assert!(near(place(89.999, 0.0), 1_000).holds(place(89.999, 180.0)));
        assert!(near(gate, 100_000_000).holds(place(-52.516_275, -166.622_296)));
        assert!(near(gate, 20_100_000).holds(place(-52.516_275, -166.622_296)));
    }

    #[test]
    fn what_is_no_place_or_distance() {
        for (latitude, longitude) in
            [(90.1, 0.0), (0.0, -180.5), (f64::NAN, 0.0), (0.0, f64::INFINITY)]
        {
            assert_eq!(Place::new(latitude, longitude), None);
        }
        assert_eq!(Distance::of_millimetres(0), None);
        assert_eq!(Distance::of_millimetres(u64::MAX), None);
        for (millimetres, text) in
            [(1, "0.001m"), (2_500, "2.5m"), (10_000_000, "10km"), (1_609_344, "1609.344m")]
        {
            let distance = Distance::of_millimetres(millimetres).expect("a distance");
            assert_eq!(distance.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_haversine(
            a in (-90.0..=90.0, -180.0..=180.0),
            b in (-90.0..=90.0, -180.0..=180.0),
            metres in 1u64..21_000_000,
        ) {
            let (a, b) = (place(a.0, a.1), place(b.0, b.1));
            let (near, far) = (near(a, metres), haversine(a, b));
            // Both formulas round; near the antipode, metres.
            if (far - metres as f64).abs() > 10.0 {
                prop_assert_eq!(near.holds(b), far < metres as f64, "{} m", far);
            }
            if near.holds(b) {
                let (south, north) = near.latitudes();
                prop_assert!((south..=north).contains(&b.units().0));
            }
            let (latitude, longitude) = a.units();
            prop_assert_eq!(Place::of_units(latitude, longitude), Some(a));
        }
    }
}
