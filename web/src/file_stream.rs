//! Given a large file and somebody who reads it slowly, what is in memory meanwhile? A piece
//! of it: the next one is read once the former was taken.

use std::io::Read;

use actix_web::web::{self, Bytes};
use ekphrasis_engine::IndexedFile;
use futures_util::Stream;
use futures_util::stream::unfold;

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// What is left to send.
struct Rest {
    file: std::fs::File,
    left: u64,
    content: blake3::Hash,
    seen: blake3::Hasher,
}

/// The file's pieces, in order. It may be written to while it is sent: if it is not what was
/// indexed any more, that is found before the last piece goes, and the reply breaks off.
pub(crate) fn pieces(found: IndexedFile) -> impl Stream<Item = std::io::Result<Bytes>> {
    let rest = Rest {
        file: found.file,
        left: found.size,
        content: blake3::Hash::from_bytes(found.content),
        seen: blake3::Hasher::new(),
    };
    unfold(Some(rest), |rest| async {
        let rest = rest.filter(|rest| rest.left > 0)?;
        Some(match web::block(move || next(rest)).await {
            Ok(Ok((piece, rest))) => (Ok(piece), Some(rest)),
            Ok(Err(error)) => (Err(error), None),
            Err(_) => (Err(std::io::Error::other("the server is ending")), None),
        })
    })
}

fn next(mut rest: Rest) -> std::io::Result<(Bytes, Rest)> {
    let length = usize::try_from(rest.left).unwrap_or(PIECE).min(PIECE);
    let mut piece = vec![0; length];
    rest.file.read_exact(&mut piece)?;
    rest.seen.update(&piece);
    rest.left -= length as u64;
    if rest.left == 0 && rest.seen.finalize() != rest.content {
        return Err(std::io::Error::other("the file changed while it was sent"));
    }
    Ok((piece.into(), rest))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use futures_util::StreamExt;

    use super::*;

    fn found(bytes: &[u8], content: &[u8]) -> IndexedFile {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file.rewind().expect("at its beginning");
        IndexedFile {
            path: "a.png".into(),
            file,
            size: content.len() as u64,
            content: *blake3::hash(content).as_bytes(),
            format: "png".into(),
        }
    }

    #[actix_web::test]
    async fn all_of_a_file_comes_in_pieces_and_nothing_of_another_one_to_its_end() {
        for length in [0, 1, PIECE, PIECE + 1, 3 * PIECE] {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
            let sent: Vec<_> = pieces(found(&bytes, &bytes)).collect().await;
            assert_eq!(sent.len(), length.div_ceil(PIECE));
            let sent: Vec<Bytes> = sent.into_iter().map(|piece| piece.expect("read")).collect();
            assert_eq!(sent.concat(), bytes);
            if length > 0 {
                let mut other = bytes.clone();
                other[length / 2] ^= 1;
                let sent: Vec<_> = pieces(found(&other, &bytes)).collect().await;
                assert!(sent.last().expect("something").is_err(), "{length} bytes");
                let short: Vec<_> = pieces(found(&bytes[1..], &bytes)).collect().await;
                assert!(short.last().expect("something").is_err(), "{length} bytes");
            }
        }
    }
}
