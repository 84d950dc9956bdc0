//! Given a data folder, in which folder is the store that serves? A data folder holds a
//! store for each model that it was moved to: the first in the folder itself, as it always
//! was, the next ones in `generations/0002` and so on. One small file, replaced as a whole,
//! says which one serves and which ones did before; without it, it is the first.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use ekphrasis_embed::Space;
use ekphrasis_index::{Holder, LocalStore, MODEL_NOTE};

use crate::EngineError;

/// The file that says which one serves.
const POINTER: &str = "serving";
/// The folder of all but the first.
const FOLDER: &str = "generations";

/// Which generation serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) serving: u32,
    /// The one that served before, unless it was removed.
    pub(crate) former: Option<u32>,
    /// Those that served before that one, in the order of their numbers.
    pub(crate) earlier: Vec<u32>,
}

/// What a generation is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is searched.
    Serving,
    /// It was searched before; going back to it is cheap as long as it is there.
    Former,
    /// It is being made, or making it was stopped.
    Unfinished,
}

impl Role {
    /// `serving`, `former` or `unfinished`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Former => "former",
            Self::Unfinished => "unfinished",
        }
    }
}

/// The store of one model.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Counted from 1.
    pub number: u32,
    /// What it is there for.
    pub role: Role,
    /// Its space; `None` if nothing is in it yet, or it cannot be read.
    pub space: Option<Space>,
    /// What its model is called, if that was noted.
    pub model: Option<String>,
    /// Items in it.
    pub items: u64,
    /// Bytes that it takes on disk.
    pub bytes: u64,
}

impl Pointer {
    /// What serves when nothing else is said.
    fn first() -> Self {
        Self { serving: 1, former: None, earlier: vec![] }
    }

    /// After a switch to `number`.
    pub(super) fn followed_by(self, number: u32) -> Self {
        if number == self.serving {
            return self;
        }
        let mut earlier = self.earlier;
        earlier.extend(self.former);
        earlier.retain(|&n| n != number && n != self.serving);
        earlier.sort_unstable();
        earlier.dedup();
        Self { serving: number, former: Some(self.serving), earlier }
    }

    /// After `number` was removed, which does not serve.
    fn without(self, number: u32) -> Self {
        let former = self.former.filter(|&n| n != number);
        let earlier = self.earlier.into_iter().filter(|&n| n != number).collect();
        Self { former, earlier, ..self }
    }

    fn role(&self, number: u32) -> Role {
        match number {
            n if n == self.serving => Role::Serving,
            n if Some(n) == self.former || self.earlier.contains(&n) => Role::Former,
            // Nothing moves to the first one before it served.
            1 => Role::Former,
            _ => Role::Unfinished,
        }
    }
}

/// The folder of a generation's store.
pub(crate) fn folder(data: &Path, number: u32) -> PathBuf {
    match number {
        1 => data.into(),
        _ => data.join(FOLDER).join(format!("{number:04}")),
    }
}

/// Which generation of `data` serves.
///
/// # Errors
/// `Invalid` if the file that says so is not as written; `Io` if it cannot be read.
pub(crate) fn pointer(data: &Path) -> Result<Pointer, EngineError> {
    let path = data.join(POINTER);
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Pointer::first());
        }
        Err(e) => return Err(e.into()),
    };
    parse(&text).ok_or_else(|| {
        EngineError::Io(std::io::Error::other(format!(
            "{} is not as ek writes it: expected a line `serving N` and perhaps `former N` and `earlier N …`, got \
             {text:?}; write the number of the store that is to be searched there ({})",
            path.display(),
            data.join(FOLDER).display()
        )))
    })
}

fn parse(text: &str) -> Option<Pointer> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|&n| n > 0);
    let mut lines = text.lines();
    let serving = number(lines.next()?.strip_prefix("serving ")?)?;
    let (mut former, mut earlier, mut line) = (None, vec![], lines.next());
    if let Some(text) = line.and_then(|line| line.strip_prefix("former ")) {
        (former, line) = (Some(number(text)?), lines.next());
    }
    if let Some(text) = line.and_then(|line| line.strip_prefix("earlier ")) {
        earlier = text.split(' ').map(number).collect::<Option<Vec<_>>>()?;
        line = lines.next();
    }
    let serves_alone = former != Some(serving) && !earlier.contains(&serving);
    (line.is_none() && serves_alone).then_some(Pointer { serving, former, earlier })
}

/// The folder of the store that serves.
///
/// # Errors
/// As [`pointer`].
pub(crate) fn serving(data: &Path) -> Result<(u32, PathBuf), EngineError> {
    let number = pointer(data)?.serving;
    Ok((number, folder(data, number)))
}

/// Says from now on which generation serves: written beside, then moved, so that it is the
/// old one or the new one, whenever this is cut short.
pub(crate) fn point(data: &Path, to: &Pointer) -> Result<(), EngineError> {
    let mut text = format!("serving {}\n", to.serving);
    if let Some(former) = to.former {
        text.push_str(&format!("former {former}\n"));
    }
    if !to.earlier.is_empty() {
        let earlier: Vec<String> = to.earlier.iter().map(u32::to_string).collect();
        text.push_str(&format!("earlier {}\n", earlier.join(" ")));
    }
    replace(data, POINTER, &text)
}

/// Writes a small file beside its place, then moves it there.
fn replace(dir: &Path, name: &str, text: &str) -> Result<(), EngineError> {
    let beside = dir.join(format!("{name}.new"));
    let mut file = fs_err::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    fs_err::rename(&beside, dir.join(name))?;
    #[cfg(unix)]
    fs_err::File::open(dir)?.sync_all()?;
    Ok(())
}

/// What the model is called that the store of a generation goes with, if that was noted: by which
/// of its space's models it was made, or is to be searched. A
/// note that cannot be read is as good as none: any model of the space will do.
pub(crate) fn noted(data: &Path, number: u32) -> Option<String> {
    let text = fs_err::read_to_string(folder(data, number).join(MODEL_NOTE)).ok()?;
    let name = text.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Notes it, for good. The store's folder has to be there.
pub(crate) fn note(data: &Path, number: u32, name: &str) -> Result<(), EngineError> {
    if noted(data, number).as_deref() == Some(name) {
        return Ok(());
    }
    replace(&folder(data, number), MODEL_NOTE, &format!("{name}\n"))
}

/// The numbers of all generations there are, in order.
fn numbers(data: &Path, pointer: &Pointer) -> Result<Vec<u32>, EngineError> {
    let mut numbers = vec![pointer.serving];
    numbers.extend(pointer.former);
    numbers.extend(&pointer.earlier);
    if LocalStore::disk_bytes(data)? > 0 {
        numbers.push(1);
    }
    let entries = match fs_err::read_dir(data.join(FOLDER)) {
        Ok(entries) => Some(entries),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(e) => return Err(e.into()),
    };
    for entry in entries.into_iter().flatten() {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<u32>().ok());
        // As it would be written: `2` is no name of ours.
        numbers.extend(number.filter(|&n| n > 1 && folder(data, n).ends_with(&name)));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// All generations of a data folder, in the order of their numbers.
///
/// # Errors
/// If the folder cannot be read. A generation that cannot be read has no space.
pub fn generations(data: &Path) -> Result<Vec<Generation>, EngineError> {
    let pointer = pointer(data)?;
    let one = |number| {
        let dir = folder(data, number);
        let known = LocalStore::glance(&dir).ok().flatten();
        let (space, items) = known.map_or((None, 0), |known| (Some(known.space), known.items));
        let bytes = LocalStore::disk_bytes(&dir)?;
        let model = noted(data, number);
        Ok(Generation { number, role: pointer.role(number), space, model, items, bytes })
    };
    numbers(data, &pointer)?.into_iter().map(one).collect()
}

/// Which generation is to become the one of `space`: the one there is, else a new one.
pub(super) fn for_space(data: &Path, space: &Space) -> Result<u32, EngineError> {
    let all = generations(data)?;
    let free = |g: &&Generation| g.role != Role::Serving;
    if let Some(there) = all.iter().filter(free).find(|g| g.space.as_ref() == Some(space)) {
        return Ok(there.number);
    }
    // One that was killed before anything was in it is as good as new.
    let blank = |g: &&Generation| g.space.is_none() && g.bytes == 0 && g.number > 1;
    if let Some(blank) = all.iter().filter(free).find(blank) {
        return Ok(blank.number);
    }
    Ok(all.last().map_or(1, |last| last.number) + 1)
}

/// Removes every generation but the one that serves; says which, and how many bytes that
/// gave back.
///
/// # Errors
/// `Store(Locked)` if somebody writes to one of them, who may be about to use it; then the
/// others may be gone already. Where the disk fails.
pub fn drop_old(data: &Path, holder: &Holder) -> Result<Vec<Generation>, EngineError> {
    let mut dropped = Vec::new();
    for old in generations(data)?.into_iter().filter(|g| g.role != Role::Serving) {
        let now = pointer(data)?;
        if now.serving == old.number {
            // Somebody went back to it just now.
            continue;
        }
        let dir = folder(data, old.number);
        // Whoever writes to it is asked first: nobody should be told to go back to what is half gone.
        if let Some(by) = LocalStore::holder(&dir)? {
            return Err(ekphrasis_index::StoreError::Locked { path: dir, holder: by }.into());
        }
        let then = now.clone().without(old.number);
        if then != now {
            point(data, &then)?;
        }
        LocalStore::discard(&dir, holder)?;
        dropped.push(old);
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_is_the_old_one_or_the_new_one_and_nothing_else_is_believed() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Pointer::first();
        assert_eq!(pointer(dir.path()).expect("none yet"), first);
        let of = |serving, former, earlier: &[u32]| Pointer {
            serving,
            former,
            earlier: earlier.to_vec(),
        };
        for to in
            [of(2, Some(1), &[]), of(4, Some(3), &[1, 2]), of(4, None, &[2]), of(12, None, &[])]
        {
            point(dir.path(), &to).expect("written");
            assert_eq!(pointer(dir.path()).expect("read"), to);
        }
        // What a crash may leave of the next one.
        fs_err::write(dir.path().join("serving.new"), "serv").expect("written");
        assert_eq!(pointer(dir.path()).expect("read").serving, 12);
        for wrong in [
            "",
            "2\n",
            "serving 0\n",
            "serving 2\nformer 2\n",
            "serving 2\nformer 1\nx",
            "serving",
            "serving 2\nearlier 1\nformer 3\n",
            "serving 2\nearlier 1  3\n",
            "serving 2\nformer 1\nearlier 2\n",
        ] {
            fs_err::write(dir.path().join(POINTER), wrong).expect("written");
            let error = pointer(dir.path()).expect_err(wrong).to_string();
            assert!(error.contains("serving N"), "{error}");
        }
    }

    #[test]
    fn what_served_is_former_for_good_and_what_is_only_made_is_not() {
        let mut now = Pointer::first();
        for next in [2, 4, 1, 4, 5] {
            now = now.followed_by(next);
        }
        assert_eq!(now, Pointer { serving: 5, former: Some(4), earlier: vec![1, 2] });
        let role = |n| now.role(n);
        assert_eq!([1, 2, 4].map(role), [Role::Former; 3]);
        assert_eq!((role(3), role(5)), (Role::Unfinished, Role::Serving));
        let left = now.clone().without(4).without(1);
        assert_eq!(left, Pointer { serving: 5, former: None, earlier: vec![2] });
        // Written before what is earlier was.
        let old = parse("serving 3\nformer 2\n").expect("as it was written");
        assert_eq!(old.role(1), Role::Former);
    }

    #[test]
    fn folders_that_are_no_generations_are_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["generations/0003", "generations/2", "generations/0001", "generations/x"] {
            fs_err::create_dir_all(dir.path().join(name)).expect("made");
        }
        assert_eq!(numbers(dir.path(), &Pointer::first()).expect("read"), [1, 3]);
        let space = Space::new("two-1", 2).expect("a space");
        assert_eq!(for_space(dir.path(), &space).expect("found"), 3, "it is blank");
    }
}
