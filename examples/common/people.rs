//! Names of people, those of the crate `fake`.

use burn_sequence::Result;
use burn_sequence::tasks::PhoneBook;
use fake::locales::{Data, EN};
use std::ops::RangeInclusive;

/// Phone books of so many entries in training.
///
/// # Errors
///
/// If there are fewer people than entries.
pub fn phone_book(entries: RangeInclusive<usize>) -> Result<PhoneBook> {
    let plain = |names: &'static [&'static str]| -> Vec<&'static str> {
        names.iter().copied().filter(|name| name.chars().all(|c| c.is_ascii_alphabetic())).collect()
    };
    PhoneBook::new(entries, &plain(EN::NAME_FIRST_NAME), &plain(EN::NAME_LAST_NAME))
}
