//! Every fault is planted once into sound pairs.

use FindingKind::*;

use super::*;

/// 120 lines without a fault: three pictures in each of 40 groups.
fn sound() -> (Vec<Example>, Vec<Seen>) {
    let examples: Vec<Example> = (0..120)
        .map(|i| Example {
            path: format!("pictures/{i}.png").into(),
            // After headings.
            line: Some(i + 2),
            captions: vec![format!("thing {}", i / 3)],
            group: Some(format!("g{}", i / 3)),
            split: Some(if i < 105 { "train" } else { "val" }.into()),
            ..Example::default()
        })
        .collect();
    let seen = (0..120usize).map(|i| Seen::Fine(ContentHash::of(&i.to_le_bytes()))).collect();
    (examples, seen)
}

/// The kinds found after a fault is planted, with the first text.
fn planted(
    purpose: Purpose,
    plant: impl FnOnce(&mut Vec<Example>, &mut Vec<Seen>),
) -> (Vec<(FindingKind, Severity, usize)>, String, Vec<usize>) {
    let (mut examples, mut seen) = sound();
    plant(&mut examples, &mut seen);
    let report = check(&examples, &seen, purpose);
    let text = report.findings.first().map(|f| f.text.clone()).unwrap_or_default();
    let kinds = report.findings.iter().map(|f| (f.kind, f.severity, f.count)).collect();
    (kinds, text, report.usable)
}

#[test]
fn sound_pairs_raise_nothing() {
    for purpose in [Purpose::Captions, Purpose::Groups] {
        let (kinds, _, usable) = planted(purpose, |_, _| {});
        assert_eq!(kinds, []);
        assert_eq!(usable.len(), 120);
    }
}

#[test]
fn files_that_are_not_there_or_no_pictures() {
    let (kinds, text, usable) = planted(Purpose::Captions, |_, seen| {
        seen[3] = Seen::Missing;
        seen[4] = Seen::Missing;
    });
    assert_eq!(kinds, [(Missing, Severity::Warning, 2)]);
    assert!(text.contains("2 of 120") && text.contains("pictures/3.png"), "{text}");
    assert_eq!(usable.len(), 118);
    let (kinds, text, _) = planted(Purpose::Captions, |_, seen| {
        seen[..30].fill(Seen::Missing);
    });
    assert_eq!(kinds[0], (Missing, Severity::Error, 30));
    assert!(text.contains("and 27 more"), "{text}");
    let (kinds, text, _) = planted(Purpose::Captions, |_, seen| {
        seen[7] = Seen::Undecodable(ContentHash::of(b"x"), "this is a zip archive".into());
        seen[8] = Seen::Unreadable("8.png: denied".into());
    });
    let expected = [(Unreadable, Severity::Warning, 1), (Undecodable, Severity::Warning, 1)];
    assert_eq!(kinds, expected);
    assert!(text.contains("8.png: denied"), "{text}");
    let (kinds, ..) = planted(Purpose::Captions, |_, seen| seen.fill(Seen::Missing));
    assert_eq!(kinds, [(Missing, Severity::Error, 120), (NoPictures, Severity::Error, 120)]);
    let empty = check(&[], &[], Purpose::Captions);
    assert_eq!(empty.findings[0].kind, NoPictures);
}

#[test]
fn copies_and_leaks() {
    let (kinds, text, usable) = planted(Purpose::Captions, |examples, seen| {
        examples[1] = Example { line: Some(3), ..examples[0].clone() };
        examples[9] = Example { line: None, ..examples[0].clone() };
        (seen[1], seen[9]) = (seen[0].clone(), seen[0].clone());
    });
    assert_eq!(kinds, [(DuplicateRows, Severity::Warning, 2)]);
    assert!(text.contains("one: line 3 (pictures/0.png); pictures/0.png. They"), "{text}");
    assert_eq!(usable.len(), 118);
    let (kinds, text, _) = planted(Purpose::Captions, |_, seen| seen[9] = seen[0].clone());
    assert_eq!(kinds, [(OneContentManyGroups, Severity::Warning, 1)]);
    assert!(text.contains("pictures/0.png in g0 and g3"), "{text}");
    let (kinds, text, _) = planted(Purpose::Captions, |examples, _| {
        examples[1].split = Some("val".into());
        examples[1].captions = vec!["another".into()];
    });
    assert_eq!(kinds, [(GroupAcrossSplits, Severity::Error, 1)]);
    assert!(text.contains("g0 in train and val"), "{text}");
    let (kinds, ..) = planted(Purpose::Captions, |examples, _| {
        examples[1].split = Some("style-test".into());
    });
    assert_eq!(kinds, [], "another name has another purpose");
    let (kinds, ..) = planted(Purpose::Captions, |examples, seen| {
        seen[119] = seen[0].clone();
        examples[119].group = None;
    });
    assert_eq!(kinds, [(ContentAcrossSplits, Severity::Error, 1)]);
    let (kinds, ..) = planted(Purpose::Captions, |examples, _| {
        examples[119].captions = vec!["Thing  0".into()];
    });
    assert_eq!(kinds, [(CaptionAcrossSplits, Severity::Warning, 1)]);
    let (kinds, ..) = planted(Purpose::Captions, |examples, _| examples[0].split = None);
    assert_eq!(kinds, [(SomeSplits, Severity::Warning, 1)]);
    let (kinds, ..) = planted(Purpose::Captions, |examples, _| {
        examples.iter_mut().for_each(|e| e.split = Some("all".into()));
    });
    assert_eq!(kinds, [(NoTrainSplit, Severity::Error, 120)]);
}

#[test]
fn a_part_by_another_of_its_names_leaks_all_the_same() {
    for name in ["valid", "validation", "dev", "Val", " VALIDATION "] {
        let (kinds, ..) = planted(Purpose::Captions, |examples, seen| {
            let held = examples.iter_mut().filter(|e| e.split.as_deref() == Some("val"));
            held.for_each(|e| e.split = Some(name.into()));
            seen[119] = seen[0].clone();
            examples[119].group = None;
        });
        assert_eq!(kinds, [(ContentAcrossSplits, Severity::Error, 1)], "{name}");
    }
    let (kinds, ..) = planted(Purpose::Captions, |examples, _| {
        let train = examples.iter_mut().filter(|e| e.split.as_deref() == Some("train"));
        train.for_each(|e| e.split = Some("Train".into()));
    });
    assert_eq!(kinds, [], "there is a split to learn from");
}

#[test]
fn words_that_are_missing_or_equal() {
    let (kinds, text, _) = planted(Purpose::Captions, |examples, _| {
        examples.iter_mut().for_each(|e| e.captions.clear());
    });
    assert_eq!(kinds, [(NoCaptions, Severity::Error, 105)]);
    assert!(text.contains("columns `caption`"), "{text}");
    let (kinds, ..) = planted(Purpose::Captions, |examples, _| {
        examples[5].captions = vec![" ".into()];
    });
    assert_eq!(kinds, [(SomeWithoutWords, Severity::Warning, 1)]);
    let (kinds, ..) = planted(Purpose::Captions, |examples, _| {
        for e in examples.iter_mut().take(105) {
            e.captions = vec!["photo".into()];
        }
    });
    assert_eq!(kinds, [(EqualCaptions, Severity::Error, 105)]);
}

#[test]
fn nothing_to_tell_apart_or_to_bring_together() {
    let one = |examples: &mut Vec<Example>, _: &mut Vec<Seen>| {
        for e in examples.iter_mut() {
            e.group = Some("g".into());
            e.split = None;
        }
    };
    let (kinds, ..) = planted(Purpose::Groups, one);
    assert_eq!(kinds, [(OneClass, Severity::Error, 120)]);
    let (kinds, ..) = planted(Purpose::Captions, one);
    assert_eq!(kinds, [(NoNegatives, Severity::Error, 120)]);
    let (kinds, ..) = planted(Purpose::Groups, |examples, _| {
        for (i, e) in examples.iter_mut().enumerate() {
            e.group = Some(i.to_string());
        }
    });
    assert_eq!(kinds, [(NoPositives, Severity::Error, 105)]);
    let (kinds, ..) = planted(Purpose::Groups, |examples, _| {
        examples.iter_mut().for_each(|e| e.group = None);
    });
    assert_eq!(kinds, [(NoGroups, Severity::Error, 105)]);
}

#[test]
fn too_few_come_with_the_number_needed() {
    let keep = |n: usize| {
        planted(Purpose::Captions, move |examples, seen| {
            examples.truncate(n);
            seen.truncate(n);
        })
    };
    let (kinds, text, _) = keep(15);
    assert_eq!(kinds, [(TooFew, Severity::Error, 15)]);
    assert!(text.contains("at least 16 are needed"), "{text}");
    assert_eq!(keep(99).0, [(TooFew, Severity::Warning, 99)]);
    assert_eq!(keep(100).0, []);
    assert_eq!(keep(2).0.len(), 2, "one group too");
}
