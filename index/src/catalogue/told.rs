//! How are labels and facts kept in a row of the catalogue? As JSON, whose names
//! are written out here so that renaming a field changes no file.

use serde_json::{Map, Value};

use crate::{Colour, Exposure, Facts, Item, Place, Taken};

/// The columns `labels` and `facts`, as stored; `None` where there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) labels: Option<String>,
    pub(super) facts: Option<String>,
}

impl Told {
    pub(super) fn of(item: &Item) -> Self {
        let labels = (!item.labels.is_empty()).then(|| Value::from(item.labels.clone()));
        Self {
            labels: labels.map(|labels| labels.to_string()),
            facts: item.facts.as_ref().map(|facts| facts_json(facts).to_string()),
        }
    }

    /// Labels and facts; `None` if they are not as written.
    pub(super) fn read(&self) -> Option<(Vec<String>, Option<Facts>)> {
        let labels = self.labels.as_deref().map(serde_json::from_str).transpose().ok()?;
        let facts = match &self.facts {
            None => None,
            Some(text) => Some(facts_of_json(&serde_json::from_str(text).ok()?)?),
        };
        Some((labels.unwrap_or_default(), facts))
    }
}

/// Facts as they are written, here and in exports.
pub(crate) fn facts_json(facts: &Facts) -> Value {
    let Facts {
        taken,
        make,
        model,
        lens,
        place,
        exposure,
        texts,
        keywords,
        colours,
        look,
        beside,
        version,
    } = facts;
    let colours: Vec<&str> = colours.iter().map(|colour| colour.as_str()).collect();
    let list = |list: &[String]| (!list.is_empty()).then(|| Value::from(list));
    let text = |value: &Option<String>| value.clone().map(Value::from);
    let place = place.map(Place::units);
    let entries = [
        ("taken", taken.map(|t| t.date.to_string().into())),
        ("offset", taken.and_then(|t| t.offset_minutes).map(Value::from)),
        ("make", text(make)),
        ("model", text(model)),
        ("lens", text(lens)),
        ("latitude", place.map(|p| p.0.into())),
        ("longitude", place.map(|p| p.1.into())),
        ("time_us", exposure.time_us.map(Value::from)),
        ("aperture", exposure.aperture_hundredths.map(Value::from)),
        ("iso", exposure.iso.map(Value::from)),
        ("focal", exposure.focal_hundredths.map(Value::from)),
        ("texts", list(texts)),
        ("keywords", list(keywords)),
        ("colours", (!colours.is_empty()).then(|| Value::from(colours))),
        // As text: not every reader of JSON has whole numbers of 64 bits.
        ("look", look.map(|look| format!("{look:016x}").into())),
        ("beside", beside.map(|beside| format!("{beside:016x}").into())),
        ("version", (*version > 0).then(|| (*version).into())),
    ];
    let there = entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

/// Facts as [`facts_json`] wrote them; `None` if they are not as written.
pub(crate) fn facts_of_json(value: &Value) -> Option<Facts> {
    let map = value.as_object()?;
    // What is there has to be of its kind: nothing is guessed.
    fn get<T>(
        map: &Map<String, Value>,
        name: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<Option<T>> {
        map.get(name).map_or(Some(None), |value| read(value).map(Some))
    }
    let text = |name| get(map, name, |v| v.as_str().map(str::to_owned));
    let number = |name| get(map, name, |v| v.as_u64().and_then(|n| u32::try_from(n).ok()));
    let list = |name| {
        get(map, name, |v| {
            v.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
        })
    };
    let colours = |v: &Value| {
        v.as_array()?.iter().map(|name| Colour::named(name.as_str()?)).collect::<Option<Vec<_>>>()
    };
    let bits = |v: &Value| {
        let text = v.as_str().filter(|text| text.len() == 16 && !text.starts_with('+'))?;
        u64::from_str_radix(text, 16).ok()
    };
    let date = get(map, "taken", |v| v.as_str()?.parse().ok())?;
    let offset = get(map, "offset", |v| v.as_i64().and_then(|n| i16::try_from(n).ok()))?;
    let latitude = get(map, "latitude", Value::as_i64)?;
    let longitude = get(map, "longitude", Value::as_i64)?;
    Some(Facts {
        taken: date.map(|date| Taken { date, offset_minutes: offset }),
        make: text("make")?,
        model: text("model")?,
        lens: text("lens")?,
        place: match (latitude, longitude) {
            (Some(latitude), Some(longitude)) => Some(Place::of_units(latitude, longitude)?),
            _ => None,
        },
        exposure: Exposure {
            time_us: get(map, "time_us", Value::as_u64)?,
            aperture_hundredths: number("aperture")?,
            iso: number("iso")?,
            focal_hundredths: number("focal")?,
        },
        texts: list("texts")?.unwrap_or_default(),
        keywords: list("keywords")?.unwrap_or_default(),
        colours: get(map, "colours", colours)?.unwrap_or_default(),
        look: get(map, "look", bits)?,
        beside: get(map, "beside", bits)?,
        version: number("version")?.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Facts {
        Facts {
            taken: Some(Taken {
                date: "2019-05-01T12:30:05".parse().expect("a date"),
                offset_minutes: Some(-210),
            }),
            make: Some("Google".into()),
            model: Some("Pixel \"7\"".into()),
            lens: Some("50mm".into()),
            place: Place::new(-33.8568, 151.2153),
            exposure: Exposure {
                time_us: Some(4_000),
                aperture_hundredths: Some(280),
                iso: Some(100),
                focal_hundredths: Some(438),
            },
            texts: vec!["At the sea".into()],
            keywords: vec!["beach".into(), "summer".into()],
            colours: vec![Colour::Blue, Colour::White],
            look: Some(0x00ff_0000_0000_0001),
            beside: Some(0xfe),
            version: 2,
        }
    }

    #[test]
    fn the_names_are_a_format() {
        let text = r#"{"aperture":280,"beside":"00000000000000fe","colours":["blue","white"],"focal":438,"iso":100,"keywords":["beach","summer"],"latitude":-338568000,"lens":"50mm","longitude":1512153000,"look":"00ff000000000001","make":"Google","model":"Pixel \"7\"","offset":-210,"taken":"2019-05-01T12:30:05","texts":["At the sea"],"time_us":4000,"version":2}"#;
        let value: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(facts_json(&full()), value);
        assert_eq!(facts_of_json(&value), Some(full()));
        for facts in [Facts::default(), Facts { lens: Some(String::new()), ..Facts::default() }] {
            assert_eq!(facts_of_json(&facts_json(&facts)), Some(facts));
        }
    }

    #[test]
    fn what_is_not_as_written_is_not_read() {
        let told = |labels: Option<&str>, facts: Option<&str>| Told {
            labels: labels.map(Into::into),
            facts: facts.map(Into::into),
        };
        assert_eq!(told(None, None).read(), Some((vec![], None)));
        for bad in [
            "",
            "[]",
            "{\"iso\":-1}",
            "{\"taken\":\"May\"}",
            "{\"colours\":[\"ultraviolet\"]}",
            "{\"look\":\"+123456789abcdef\"}",
            "{\"keywords\":[1]}",
            "{\"latitude\":99999999999,\"longitude\":0}",
        ] {
            assert_eq!(told(None, Some(bad)).read(), None, "{bad}");
        }
        assert_eq!(told(Some("{}"), None).read(), None);
    }
}
