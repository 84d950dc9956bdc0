//! Given an XMP packet, what did people write? XMP is RDF in XML: the same fact
//! may stand in an attribute, an element, or a list of alternatives.

use ekphrasis_index::Date;
use roxmltree::{Document, Node, ParsingOptions};

use super::{Words, exif};

/// Elements, attributes and texts of one packet.
const MOST_NODES: u32 = 100_000;
const DUBLIN_CORE: &str = "http://purl.org/dc/elements/1.1/";
const PHOTOSHOP: &str = "http://ns.adobe.com/photoshop/1.0/";
const EXIF: &str = "http://ns.adobe.com/exif/1.0/";
const XMP: &str = "http://ns.adobe.com/xap/1.0/";
const LIGHTROOM: &str = "http://ns.adobe.com/lightroom/1.0/";
const DIGIKAM: &str = "http://www.digikam.org/ns/1.0/";
const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";

/// What a property is to us.
enum Meaning {
    Text,
    Keyword,
    /// Keywords from the general to the special, with this between them.
    Path(char),
    /// The lower counts more.
    Date(u8),
}

fn meaning(namespace: &str, name: &str) -> Option<Meaning> {
    Some(match (namespace, name) {
        (DUBLIN_CORE, "title" | "description") | (PHOTOSHOP, "Headline") => Meaning::Text,
        (DUBLIN_CORE, "subject") => Meaning::Keyword,
        (LIGHTROOM, "hierarchicalSubject") => Meaning::Path('|'),
        (DIGIKAM, "TagsList") => Meaning::Path('/'),
        (EXIF, "DateTimeOriginal") => Meaning::Date(0),
        (PHOTOSHOP, "DateCreated") => Meaning::Date(1),
        (XMP, "CreateDate") => Meaning::Date(2),
        _ => return None,
    })
}

/// Reads titles, descriptions, keywords and when the picture was taken.
pub(super) fn read(packet: &str) -> Words {
    let mut words = Words::default();
    // What programs leave around the packet is no XML.
    let (Some(start), Some(end)) = (packet.find('<'), packet.rfind('>')) else { return words };
    let Some(packet) = packet.get(start..=end) else { return words };
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let Ok(document) = Document::parse_with_options(packet, options) else { return words };
    let mut dates: [Option<Date>; 3] = [None; 3];
    let mut note = |meaning: Meaning, value: &str| match meaning {
        Meaning::Text => words.text(value),
        Meaning::Keyword => words.keyword(value),
        Meaning::Path(between) => value.split(between).for_each(|word| words.keyword(word)),
        Meaning::Date(rank) => {
            let known = &mut dates[usize::from(rank)];
            *known = known.or(exif::date(value));
        }
    };
    let described = document.descendants().filter(|node| node.has_tag_name((RDF, "Description")));
    for node in described {
        for attribute in node.attributes() {
            let namespace = attribute.namespace().unwrap_or_default();
            if let Some(meaning) = meaning(namespace, attribute.name()) {
                note(meaning, attribute.value());
            }
        }
        for property in node.children().filter(Node::is_element) {
            let namespace = property.tag_name().namespace().unwrap_or_default();
            let name = property.tag_name().name();
            if meaning(namespace, name).is_none() {
                continue;
            }
            let mut values = entries(property);
            if values.is_empty() {
                values.extend(property.text());
            }
            for value in values {
                if let Some(meaning) = meaning(namespace, name) {
                    note(meaning, value);
                }
            }
        }
    }
    words.date(dates.into_iter().flatten().next());
    words
}

/// The texts of a property's entries. What is described within it is read on its own,
/// and not once more for each that it lies in.
fn entries<'a>(property: Node<'a, '_>) -> Vec<&'a str> {
    let mut texts = vec![];
    let mut open = vec![property];
    while let Some(node) = open.pop() {
        if node.has_tag_name((RDF, "li")) {
            texts.extend(node.text());
        }
        let own = node.children().filter(|node| !node.has_tag_name((RDF, "Description")));
        open.extend(own.rev());
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &str = r#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
 photoshop:Headline="Storm &amp; sea" xmp:CreateDate="2020-01-01T00:00:00">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">A ship</rdf:li><rdf:li xml:lang="de">Ein Schiff</rdf:li></rdf:Alt></dc:description>
<dc:subject><rdf:Bag><rdf:li>ship</rdf:li><rdf:li>sea</rdf:li></rdf:Bag></dc:subject>
<lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Europe|Kiel</rdf:li></rdf:Bag></lr:hierarchicalSubject>
<exif:DateTimeOriginal>2019-05-01T12:30:05.12+02:00</exif:DateTimeOriginal>
<dc:rights>nobody's</dc:rights>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>   "#;

    #[test]
    fn attributes_elements_and_lists_are_read() {
        let words = read(PACKET);
        assert_eq!(words.texts, ["Storm & sea", "A ship", "Ein Schiff"]);
        assert_eq!(words.keywords, ["ship", "sea", "Places", "Europe", "Kiel"]);
        let taken = words.taken.map(|taken| taken.date.to_string());
        assert_eq!(taken.as_deref(), Some("2019-05-01T12:30:05"));
    }

    #[test]
    fn what_is_described_within_a_property_is_read_once() {
        let start = PACKET.find("<rdf:li>ship").expect("there");
        let inner = "<rdf:li><rdf:Description><dc:title>within</dc:title><dc:subject><rdf:Bag>\
            <rdf:li>inner</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:li>";
        let packet = format!("{}{inner}{}", &PACKET[..start], &PACKET[start..]);
        let document = Document::parse_with_options(
            packet.split_once("?>").expect("a header").1.rsplit_once("<?").expect("a trailer").0,
            ParsingOptions::default(),
        );
        let document = document.expect("XML");
        let subject = document.descendants().find(|n| n.has_tag_name((DUBLIN_CORE, "subject")));
        assert_eq!(entries(subject.expect("there")), ["ship", "sea"]);
        let words = read(&packet);
        assert!(words.texts.contains(&"within".to_owned()), "{words:?}");
        assert!(words.keywords.contains(&"inner".to_owned()), "{words:?}");
    }

    #[test]
    fn garbage_is_no_words() {
        for end in (0..PACKET.len()).filter(|&end| PACKET.is_char_boundary(end)) {
            read(&PACKET[..end]);
        }
        let bomb = format!("<!DOCTYPE x [<!ENTITY a \"{}\">]><x>&a;</x>", "b".repeat(1000));
        let deep = "<a>".repeat(50_000);
        for packet in
            ["", "<", "<>", "no XML", &bomb, &deep, &("<a>".repeat(9_000) + &"</a>".repeat(9_000))]
        {
            assert_eq!(read(packet), Words::default());
        }
    }
}
