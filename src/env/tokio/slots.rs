//! Numbered places that are used again, with numbers that are not.

/// A list of things, each under a number that never comes back.
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    generation: u32,
    item: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Puts in what `make` makes of its number.
    pub(super) fn insert(&mut self, make: impl FnOnce(u64) -> T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, item: None });
            u32::try_from(self.slots.len() - 1).expect("a process has fewer than 2^32 sockets")
        });
        let slot = &mut self.slots[index as usize];
        slot.generation += 1;
        let key = u64::from(slot.generation) << 32 | u64::from(index);
        slot.item = Some(make(key));
        key
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut((key & 0xffff_ffff) as usize)?;
        if u64::from(slot.generation) == key >> 32 { slot.item.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        self.get_mut(key)?;
        let index = (key & 0xffff_ffff) as u32;
        let slot = &mut self.slots[index as usize];
        // A place whose generations are used up is left alone for ever.
        if slot.generation < u32::MAX {
            self.free.push(index);
        }
        slot.item.take()
    }

    /// Numbers and things.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            slot.item.as_ref().map(|item| (u64::from(slot.generation) << 32 | index as u64, item))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_never_means_another_thing() {
        let mut slots = Slots::default();
        let first = slots.insert(|key| key);
        assert_eq!(slots.remove(first), Some(first));
        let second = slots.insert(|key| key);
        assert_ne!(first, second, "the place is used again, the number is not");
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut second.clone()));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(second, &second)]);
        assert_eq!(slots.get_mut(u64::MAX), None);
    }
}
