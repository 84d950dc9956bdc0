//! How is a state written down? As little-endian numbers of 32 bits (64 where said),
//! lists with their length before them.

#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, v: u32) {
        self.0.extend(v.to_le_bytes());
    }

    pub(crate) fn wide(&mut self, v: f64) {
        self.0.extend(v.to_bits().to_le_bytes());
    }

    pub(crate) fn ids(&mut self, ids: &[u32]) {
        self.number(ids.len() as u32);
        ids.iter().for_each(|id| self.number(*id));
    }

    pub(crate) fn reals(&mut self, reals: &[f32]) {
        self.number(reals.len() as u32);
        reals.iter().for_each(|v| self.number(v.to_bits()));
    }
}

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn number(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*head))
    }

    pub(crate) fn wide(&mut self) -> Option<f64> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(f64::from_bits(u64::from_le_bytes(*head)))
    }

    pub(crate) fn ids(&mut self) -> Option<Vec<u32>> {
        let length = self.number()? as usize;
        (length <= self.0.len() / 4).then(|| (0..length).map_while(|_| self.number()).collect())
    }

    pub(crate) fn reals(&mut self) -> Option<Vec<f32>> {
        Some(self.ids()?.into_iter().map(f32::from_bits).collect())
    }
}
