//! Given a recipe and what the base gives, which towers are trained?

use crate::config::{Config, ImageSide, TextSide};
use crate::nn::{Base, Group, Op, Params, Purpose, Tower, TowerBuilder, rng_for};
use crate::run::Model;

use super::error::JobError;

/// Widths of what the towers are fed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Widths {
    /// The base output that is added to on the image side.
    pub(super) image_base: usize,
    /// All features together.
    pub(super) features: usize,
    /// The base's text embedding.
    pub(super) text_base: usize,
    /// Tokens in the vocabulary.
    pub(super) words: usize,
    /// The base's space.
    pub(super) space: usize,
}

/// Both towers with their first values.
///
/// # Errors
/// `Base` if the two sides cannot end in one width.
pub(super) fn build(config: &Config, widths: Widths) -> Result<Model, JobError> {
    let mut params = Params::new();
    let mut rng = rng_for(config.seed, Purpose::Initial, 0);
    let image = image(config, widths, &mut TowerBuilder::new(&mut params, &mut rng, Group::Image))?;
    let text = text(config, widths, &mut TowerBuilder::new(&mut params, &mut rng, Group::Text));
    if let Some(text) = &text
        && text.dim != image.dim
    {
        return Err(JobError::Base(format!(
            "the image side ends in {} numbers and the text side in {}; set image.dim, or text.kind = \"map\" with a dim",
            image.dim, text.dim
        )));
    }
    Ok(Model { params, image, text })
}

fn image(
    config: &Config,
    widths: Widths,
    builder: &mut TowerBuilder<'_>,
) -> Result<Tower, JobError> {
    let Widths { image_base, features, text_base, .. } = widths;
    // Without a width of its own: the text side's.
    let text_dim = match config.text {
        TextSide::Map { dim } | TextSide::Transformer { dim, .. } => dim,
        // The base's text side is published with it.
        TextSide::None {} => widths.space,
        _ => text_base,
    };
    let width = |dim: usize, base: &str, map: bool| match (dim, base.is_empty(), map) {
        (0, false, false) => image_base,
        (0, ..) => text_dim,
        (dim, ..) => dim,
    };
    let based = |builder: &mut TowerBuilder<'_>, base: &str, map: bool, dim: usize| match (
        base.is_empty(),
        map,
    ) {
        (true, _) => Ok(Base::None),
        (false, true) => Ok(builder.map(image_base, dim)),
        (false, false) if image_base == dim => Ok(Base::Plain),
        (false, false) => Err(JobError::Base(format!(
            "image.dim is {dim}, but the base's {base:?} has {image_base} numbers; leave image.dim away, or set image.map = true"
        ))),
    };
    let group = Group::Image;
    Ok(match &config.image {
        ImageSide::Mlp { base, map, hidden, depth, dropout, input_dropout, start, dim, .. } => {
            let dim = width(*dim, base, *map);
            let base = based(builder, base, *map, dim)?;
            let shape = [features, *hidden, dim];
            let body = builder.mlp_head(shape, *depth, [*input_dropout, *dropout], *start);
            Tower { group, base, body, dim }
        }
        ImageSide::Linear { base, map, features: names, bias, input_dropout, start, dim } => {
            let dim = width(*dim, base, *map);
            let base = based(builder, base, *map, dim)?;
            let body = match names.is_empty() {
                true => Vec::new(),
                false => {
                    let drop = (*input_dropout > 0.0).then_some(Op::Dropout(*input_dropout));
                    let linear = builder.linear_head(features, dim, *bias, *start);
                    drop.into_iter().chain(linear).collect()
                }
            };
            Tower { group, base, body, dim }
        }
        ImageSide::Frozen { .. } => {
            Tower { group, base: Base::Plain, body: Vec::new(), dim: image_base }
        }
        ImageSide::Cnn { widths, dropout, dim, .. } => {
            Tower { group, base: Base::None, body: builder.cnn(widths, *dim, *dropout), dim: *dim }
        }
        ImageSide::Vit { side, patch, width, depth, heads, dropout, dim } => {
            let body = builder.vit([*side, *patch], [*width, *depth, *heads], *dim, *dropout);
            Tower { group, base: Base::None, body, dim: *dim }
        }
    })
}

fn text(config: &Config, widths: Widths, builder: &mut TowerBuilder<'_>) -> Option<Tower> {
    let base = widths.text_base;
    let group = Group::Text;
    Some(match &config.text {
        TextSide::None {} => return None,
        TextSide::Frozen {} => Tower { group, base: Base::Plain, body: Vec::new(), dim: base },
        TextSide::Linear { bias, start } => {
            let body = builder.linear_head(base, base, *bias, *start);
            Tower { group, base: Base::Plain, body, dim: base }
        }
        TextSide::Mlp { hidden, depth, dropout, start } => {
            let body = builder.mlp_head([base, *hidden, base], *depth, [0.0, *dropout], *start);
            Tower { group, base: Base::Plain, body, dim: base }
        }
        TextSide::Map { dim } => {
            let body = builder.linear_head(base, *dim, true, 1.0);
            Tower { group, base: Base::None, body, dim: *dim }
        }
        TextSide::Transformer { width, depth, heads, longest, dropout, dim } => {
            let shape = [*width, *depth, *heads];
            let body = builder.text_transformer([widths.words, *longest], shape, *dim, *dropout);
            Tower { group, base: Base::None, body, dim: *dim }
        }
    })
}
