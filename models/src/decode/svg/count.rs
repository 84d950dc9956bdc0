//! Given the elements of an SVG, what would rendering it take? Counted with every
//! reference replaced by what it refers to, before anything is rendered.

use std::collections::HashMap;
use std::sync::Arc;

use resvg::usvg::roxmltree::{Document, Node, NodeId};

use super::{MOST_EMBEDDED, SIDE};

/// Elements when every reference is replaced by what it refers to.
const MOST_UNFOLDED: u64 = 1_000_000;
/// Steps of counting; circles of references are counted anew from each of their parts.
const MOST_STEPS: u64 = 5_000_000;
/// Filters that are applied, each use counted, and the steps of all of them.
const MOST_FILTERS: u64 = 100;
const MOST_FILTER_STEPS: u64 = 2_000;
/// What one step of a filter may look at: layers of noise, how far around a pixel,
/// the side of a matrix.
const MOST_OCTAVES: f64 = 10.0;
const MOST_RADIUS: f64 = 20.0;
const MOST_ORDER: f64 = 9.0;
/// How deep elements may lie in one another, references followed: each level
/// may take a canvas of its own, and some of the stack.
const DEPTH: u32 = 120;
/// Bytes of an id.
const LONGEST_ID: usize = 512;

/// What an element unfolds to.
#[derive(Clone, Copy, Default)]
struct Unfolded {
    elements: u64,
    depth: u32,
    filters: u64,
    filter_steps: u64,
    /// Canvases beside the main one that are in use at once.
    canvases: u64,
    /// Elements to which it hands down its fill, stroke and markers, and their corners.
    heirs: u64,
    corners: u64,
}

impl Unfolded {
    /// Adds what lies in the element, or what it refers to `times` times.
    fn add(&mut self, part: Self, times: u64) {
        let more = |sum: &mut u64, one: u64| *sum = sum.saturating_add(one.saturating_mul(times));
        more(&mut self.elements, part.elements);
        more(&mut self.filters, part.filters);
        more(&mut self.filter_steps, part.filter_steps);
        self.depth = self.depth.max(part.depth);
        self.canvases = self.canvases.max(part.canvases);
    }

    fn inherit(&mut self, part: Self) {
        self.heirs = self.heirs.saturating_add(part.heirs);
        self.corners = self.corners.saturating_add(part.corners);
    }
}

/// What it takes to render a drawing.
#[derive(Debug)]
pub(super) struct Needs {
    canvases: u64,
    pictures: bool,
}

impl Needs {
    /// In bytes, beside what the text takes.
    pub(super) fn memory(&self) -> u64 {
        let canvas = 4 * SIDE as u64 * SIDE as u64;
        let pictures = if self.pictures { 4 * MOST_EMBEDDED } else { 0 };
        // The main one and the result, and those of its parts.
        canvas.saturating_mul(self.canvases.saturating_add(2)).saturating_add(pictures)
    }
}

/// Refuses a drawing that nests too deep, unfolds to too much, or has filters that
/// take too long.
pub(super) fn check(document: &Document<'_>) -> Result<Needs, String> {
    let too_deep = || format!("its elements lie more than {DEPTH} deep in one another");
    // Without recursion first, so that recursion is safe afterwards.
    let mut level = 0u32;
    let mut node = document.root_element();
    'walk: loop {
        if let Some(child) = node.first_element_child() {
            node = child;
            level += 1;
            if level > DEPTH {
                return Err(too_deep());
            }
            continue;
        }
        while node.next_sibling_element().is_none() {
            match node.parent_element() {
                Some(parent) if level > 0 => {
                    node = parent;
                    level -= 1;
                }
                _ => break 'walk,
            }
        }
        match node.next_sibling_element() {
            Some(next) => node = next,
            None => break,
        }
    }
    check_filters(document)?;
    let elements = || document.descendants().filter(Node::is_element);
    let mut ids: HashMap<&str, Node<'_, '_>> = HashMap::new();
    for node in elements() {
        if let Some(id) = node.attribute("id") {
            if id.len() > LONGEST_ID {
                return Err(format!("an id in it is over {LONGEST_ID} bytes long"));
            }
            // The first counts, as for the renderer.
            ids.entry(id).or_insert(node);
        }
    }
    // Masks and such are handed down only to those that ask for it.
    let asks = |text: &str| {
        text.contains("inherit") && ["mask", "clip-path", "filter"].iter().any(|n| text.contains(n))
    };
    let all_inherit = elements().any(|node| {
        let own = node.attributes().any(|attribute| match attribute.name() {
            "mask" | "clip-path" | "filter" => attribute.value().contains("inherit"),
            "style" => asks(attribute.value()),
            _ => false,
        });
        let sheet = node.tag_name().name() == "style";
        own || (sheet && node.children().filter_map(|text| text.text()).any(asks))
    });
    let names = Names { ids, styles: styles(document), all_inherit };
    let mut count = Count { names: &names, known: HashMap::new(), said: HashMap::new(), steps: 0 };
    let (all, _) = count.unfold(document.root_element(), 0)?;
    if all.depth > DEPTH {
        return Err(too_deep());
    }
    if all.elements > MOST_UNFOLDED {
        return Err(too_much());
    }
    if all.filters > MOST_FILTERS || all.filter_steps > MOST_FILTER_STEPS {
        return Err(format!("it applies more than {MOST_FILTERS} filters, or too long ones"));
    }
    let pictures = elements().any(|node| ["image", "feImage"].contains(&node.tag_name().name()));
    Ok(Needs { canvases: all.canvases, pictures })
}

fn too_much() -> String {
    format!("it unfolds to more than {MOST_UNFOLDED} elements")
}

/// Refuses filters of which a single step would take very long.
fn check_filters(document: &Document<'_>) -> Result<(), String> {
    let numbers = |text: &str| -> Vec<Option<f64>> {
        let parts = text.split(|c: char| c == ',' || c.is_ascii_whitespace());
        parts.filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
    };
    for node in document.descendants().filter(Node::is_element) {
        let most = |name: &str, most: f64| {
            let all = numbers(node.attribute(name).unwrap_or(""));
            match all.iter().all(|number| number.is_some_and(|number| number <= most)) {
                true => Ok(()),
                false => Err(format!("a filter in it has a {name} of more than {most}")),
            }
        };
        match node.tag_name().name() {
            "feTurbulence" => most("numOctaves", MOST_OCTAVES)?,
            "feMorphology" => {
                // Then in shares of what is filtered.
                let shares = node.parent_element().is_some_and(|filter| {
                    filter.attribute("primitiveUnits") == Some("objectBoundingBox")
                });
                let share = MOST_RADIUS / f64::from(SIDE);
                most("radius", if shares { share } else { MOST_RADIUS })?;
            }
            "feConvolveMatrix" => {
                most("order", MOST_ORDER)?;
                let matrix = numbers(node.attribute("kernelMatrix").unwrap_or(""));
                if matrix.len() as f64 > MOST_ORDER * MOST_ORDER {
                    return Err("a filter in it has a kernelMatrix that is too long".into());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Elements by id, and what style sheets let them refer to.
struct Names<'a> {
    ids: HashMap<&'a str, Node<'a, 'a>>,
    styles: Vec<Rule<'a>>,
    /// Whether masks and such may be handed down too.
    all_inherit: bool,
}

/// A rule of a style sheet that refers to other elements or takes a canvas.
struct Rule<'a> {
    /// What it holds for, such as `.class`, `#id`, `path` or `*`.
    selectors: Vec<&'a str>,
    body: &'a str,
}

/// The rules that matter, read so roughly that they hold for rather more
/// elements than they do.
fn styles<'a>(document: &'a Document<'_>) -> Vec<Rule<'a>> {
    let sheets = document.descendants().filter(|node| node.has_tag_name("style"));
    let texts = sheets.flat_map(|sheet| sheet.children()).filter_map(|text| text.text());
    texts
        .flat_map(|text| text.split('}'))
        .filter_map(|rule| rule.split_once('{'))
        .filter(|(_, body)| body.contains("url(") || LAYERS.iter().any(|name| body.contains(name)))
        .map(|(selectors, body)| {
            let last =
                |one: &'a str| one.rsplit([' ', '>', '+', '~', '\n']).find(|s| !s.is_empty());
            Rule { selectors: selectors.split(',').filter_map(last).collect(), body }
        })
        .collect()
}

impl Rule<'_> {
    fn holds(&self, node: Node<'_, '_>) -> bool {
        self.selectors.iter().any(|selector| {
            if let Some((_, class)) = selector.split_once('.') {
                let class = class.split(['.', ':', '[']).next();
                let mut classes = node.attribute("class").unwrap_or("").split_whitespace();
                return classes.any(|one| Some(one) == class);
            }
            match selector.split_once('#') {
                Some((_, id)) => node.attribute("id") == Some(id),
                None if selector.chars().all(char::is_alphanumeric) => {
                    node.tag_name().name() == *selector
                }
                None => true,
            }
        })
    }
}

/// Properties for which an element is drawn on a canvas of its own.
const LAYERS: [&str; 6] = ["opacity", "filter", "mask", "clip-path", "mix-blend-mode", "isolation"];

/// The ids in all `url(#…)` of a text, and where each begins.
fn urls(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("url(").filter_map(|(at, found)| {
        let rest = text[at + found.len()..].trim_ascii_start();
        let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c));
        let rest = rest.trim_start_matches(['"', '\'']).trim_ascii_start().strip_prefix('#')?;
        // No id is longer; looking for a far end again and again takes long.
        let rest = &rest[..rest.floor_char_boundary(LONGEST_ID + 4)];
        let id = match quote {
            Some(quote) => rest.split(quote).next()?.trim_ascii_end(),
            None => rest.split(|c: char| c == ')' || c.is_ascii_whitespace()).next()?,
        };
        Some((at, id))
    })
}

/// A reference to another element.
#[derive(Clone, Copy, PartialEq)]
struct Reference<'a> {
    id: &'a str,
    /// A marker stands on every corner.
    marks: bool,
    /// Elements within have it too.
    inherited: bool,
}

impl<'a> Reference<'a> {
    /// All in the value of an attribute, or in the declarations of a style.
    fn all(name: Option<&str>, value: &'a str) -> Vec<Self> {
        let kind = |name: &str| {
            let marks = name.contains("marker");
            (marks, marks || name.contains("fill") || name.contains("stroke"))
        };
        // A comment may stand anywhere in a declaration.
        let whole = name.or(value.contains("/*").then_some(value)).map(kind);
        let (mut start, mut known) = (0, None);
        let one = |(at, id): (usize, &'a str)| {
            let since = &value[start..at];
            start = at;
            if known.is_none() || since.contains(';') {
                known = Some(kind(since.rsplit(';').next().unwrap_or(since)));
            }
            let (marks, inherited) = whole.or(known).unwrap_or((true, true));
            Self { id, marks, inherited }
        };
        urls(value).map(one).collect()
    }
}

/// What takes a canvas of an element's own, by name and value.
fn layers<'a>(node: Node<'a, '_>, styles: &'a [Rule<'a>]) -> Vec<(&'a str, &'a str)> {
    let plain = node.attributes().map(|one| (one.name(), one.value()));
    let rules = styles.iter().filter(|rule| rule.holds(node)).map(|rule| rule.body);
    let declared = node.attribute("style").into_iter().chain(rules).flat_map(|text| {
        text.split(';').filter_map(|one| one.split_once(':')).map(|(name, value)| {
            // A comment may stand before.
            (name.rsplit('/').next().unwrap_or(name).trim(), value)
        })
    });
    let all = plain.chain(declared).map(|(name, value)| (name, value.trim()));
    all.filter(|(name, value)| LAYERS.contains(name) && *value != "none" && *value != "1").collect()
}

/// What an element says, apart from what lies in it.
struct Said<'a> {
    own: Vec<Reference<'a>>,
    /// What it or an element around it refers to and hands down.
    handed: Arc<Vec<Reference<'a>>>,
    canvases: u64,
    filters: u64,
}

/// Counting what elements unfold to.
struct Count<'a> {
    names: &'a Names<'a>,
    /// What is known, or the level on which it is being unfolded.
    known: HashMap<NodeId, Result<Unfolded, u32>>,
    /// What each element says itself, and what is handed down to it.
    said: HashMap<NodeId, Arc<Said<'a>>>,
    steps: u64,
}

impl<'a> Count<'a> {
    fn step(&mut self, steps: usize) -> Result<(), String> {
        self.steps += steps as u64;
        if self.steps > MOST_STEPS { Err(too_much()) } else { Ok(()) }
    }

    fn references(&self, node: Node<'a, 'a>) -> Vec<Reference<'a>> {
        let mut all = vec![];
        for attribute in node.attributes() {
            let name = Some(attribute.name()).filter(|name| *name != "style");
            all.extend(Reference::all(name, attribute.value()));
        }
        for rule in self.names.styles.iter().filter(|rule| rule.holds(node)) {
            all.extend(Reference::all(None, rule.body));
        }
        if self.names.all_inherit {
            all.iter_mut().for_each(|one| one.inherited = true);
        }
        all
    }

    /// Each element is read once, however often it is counted.
    fn said(&mut self, node: Node<'a, 'a>) -> Result<Arc<Said<'a>>, String> {
        if let Some(said) = self.said.get(&node.id()) {
            return Ok(said.clone());
        }
        let mut handed = match node.parent_element() {
            Some(parent) => self.said(parent)?.handed.clone(),
            None => Arc::default(),
        };
        let mut references = self.references(node);
        self.step(references.len())?;
        references.retain(|one| self.names.ids.contains_key(one.id));
        let (inherited, own): (Vec<_>, Vec<_>) =
            references.into_iter().partition(|one| one.inherited);
        for one in inherited {
            self.step(1 + handed.len())?;
            if !handed.contains(&one) {
                Arc::make_mut(&mut handed).push(one);
            }
        }
        let (mut canvases, mut filters) = (0, 0);
        for (name, value) in layers(node, &self.names.styles) {
            canvases += 1;
            if name == "filter" {
                let functions = value.matches('(').count().max(1) as u64;
                filters += functions;
                canvases += 1 + functions;
            }
        }
        let said = Arc::new(Said { own, handed, canvases, filters });
        self.said.insert(node.id(), said.clone());
        Ok(said)
    }

    /// What an element unfolds to, and the lowest level on which something was being
    /// unfolded that it refers to. Such a circle is cut there, as the renderer does;
    /// another start would cut it elsewhere, so what lies in it is not noted.
    fn unfold(&mut self, node: Node<'a, 'a>, level: u32) -> Result<(Unfolded, u32), String> {
        self.step(1)?;
        if level > 4 * DEPTH {
            return Err(format!("its references lie more than {} deep in one another", 4 * DEPTH));
        }
        match self.known.get(&node.id()) {
            Some(Ok(known)) => return Ok((*known, u32::MAX)),
            Some(Err(level)) => {
                let cut = Unfolded { elements: 1, depth: 1, heirs: 1, ..Unfolded::default() };
                return Ok((cut, *level));
            }
            None => {}
        }
        self.known.insert(node.id(), Err(level));
        // A marker stands on every corner of a path; each takes a character at least.
        let corners = node.attribute("d").or(node.attribute("points")).map_or(4, str::len);
        let mut sum = Unfolded { heirs: 1, corners: corners as u64, ..Unfolded::default() };
        let mut lowest = u32::MAX;
        let mut within = 0;
        for child in node.children().filter(Node::is_element) {
            let (part, low) = self.unfold(child, level + 1)?;
            lowest = lowest.min(low);
            within = part.canvases.saturating_add(within);
            sum.add(part, 1);
            sum.inherit(part);
        }
        let name = node.tag_name().name();
        if name == "filter" {
            // The results of all its steps are kept.
            sum.canvases = within;
        }
        if ["pattern", "mask", "clipPath", "image"].contains(&name) {
            sum.canvases = sum.canvases.saturating_add(1);
        }
        let small = ["feMergeNode", "feDistantLight", "fePointLight", "feSpotLight"];
        if name.starts_with("fe") && !small.contains(&name) && !name.starts_with("feFunc") {
            sum.filter_steps += 1;
            sum.canvases += 1;
        }
        // `href` of a use, a pattern or a gradient.
        for attribute in node.attributes().filter(|attribute| attribute.name() == "href") {
            let id = attribute.value().trim_ascii_start().strip_prefix('#');
            let id = id.and_then(|id| id.split(' ').next());
            if let Some(target) = id.and_then(|id| self.names.ids.get(id)) {
                let (part, low) = self.unfold(*target, level + 1)?;
                lowest = lowest.min(low);
                sum.add(part, 1);
                sum.inherit(part);
            }
        }
        // `url(#…)` of a fill, a mask, a marker…, also of an element around it. What lies
        // within counts those itself, but not what it takes from elsewhere.
        let elsewhere = node.attributes().any(|attribute| attribute.name() == "href");
        let (heirs, corners) = match elsewhere {
            true => (sum.heirs, sum.corners),
            false => (1, corners as u64),
        };
        let said = self.said(node)?;
        for one in said.own.iter().chain(said.handed.iter()) {
            if let Some(target) = self.names.ids.get(one.id) {
                let (part, low) = self.unfold(*target, level + 1)?;
                lowest = lowest.min(low);
                let times = match (one.marks, one.inherited) {
                    (true, _) => corners,
                    (false, true) => heirs,
                    (false, false) => 1,
                };
                sum.add(part, times);
            }
        }
        sum.canvases = sum.canvases.saturating_add(said.canvases);
        sum.filters = sum.filters.saturating_add(said.filters);
        sum.elements = sum.elements.saturating_add(1);
        sum.depth += 1;
        match lowest < level {
            true => self.known.remove(&node.id()),
            false => self.known.insert(node.id(), Ok(sum)),
        };
        Ok((sum, if lowest < level { lowest } else { u32::MAX }))
    }
}
