//! Which collection serves, and which others are there? Each generation is a collection
//! of its own; the name that is asked for is an alias of the one that serves.

use ekphrasis_embed::Space;
use ekphrasis_index::StoreError;

use crate::client::Client;
use crate::proto::{
    Collections, Described, DropAlias, OfCollection, SetAlias, ShowCollections, Status, method,
};
use crate::schema::{Header, create, describe};
use crate::server::ServerVersion;
use crate::{Address, MilvusStore, Options};

/// A set of vectors of one space, of which one serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Counted from 1.
    pub number: u32,
    /// Of its vectors.
    pub space: Space,
    /// Whether it is the one that is searched.
    pub serves: bool,
}

/// The collection of a generation.
pub(crate) fn name_of(address: &Address, number: u32) -> String {
    format!("{}_g{number:04}", address.collection)
}

fn number_of(address: &Address, name: &str) -> Option<u32> {
    let digits = name.strip_prefix(&address.collection)?.strip_prefix("_g")?;
    (digits.len() >= 4).then(|| digits.parse().ok()).flatten()
}

/// The collection itself, if it was asked for by its alias: servers name one or the other,
/// here or in the schema.
pub(crate) fn real_name(address: &Address, described: &Described) -> String {
    let names = [Some(&described.collection_name), described.schema.as_ref().map(|s| &s.name)];
    let mut names = names.into_iter().flatten();
    let own = names.find(|name| number_of(address, name).is_some());
    own.unwrap_or(&described.collection_name).clone()
}

/// Makes the first generation, and has it serve. Of several who do so at once all succeed.
pub(crate) fn create_first(client: &Client, header: &Header) -> Result<(), StoreError> {
    let name = name_of(&client.address, 1);
    create(client, &name, header)?;
    let request = SetAlias {
        db_name: client.database(),
        collection_name: name,
        alias: client.address.collection.clone(),
    };
    let made: Result<Status, _> = client.call("be named", method::CREATE_ALIAS, &request);
    match made {
        Err(error) if describe(client, &client.address.collection)?.is_none() => Err(error),
        _ => Ok(()),
    }
}

impl MilvusStore {
    /// All generations, oldest first.
    ///
    /// # Errors
    /// If the server cannot be asked.
    pub fn generations(&self) -> Result<Vec<Generation>, StoreError> {
        let client = &self.client;
        let request = ShowCollections { db_name: client.database() };
        let all: Collections =
            client.call("list its generations", method::SHOW_COLLECTIONS, &request)?;
        let mut numbers: Vec<_> = all
            .collection_names
            .iter()
            .filter_map(|name| number_of(&client.address, name))
            .collect();
        numbers.sort_unstable();
        let serving =
            describe(client, &client.address.collection)?.map(|d| real_name(&client.address, &d));
        let mut generations = vec![];
        for number in numbers {
            let name = name_of(&client.address, number);
            // Another process may have dropped it since.
            let Some(described) = describe(client, &name)? else { continue };
            generations.push(Generation {
                number,
                space: Header::of(client, &described)?.space(client)?,
                serves: serving.as_ref() == Some(&name),
            });
        }
        Ok(generations)
    }

    /// A store over a new, empty generation that does not serve yet.
    ///
    /// # Errors
    /// If the server cannot be asked.
    pub fn begin_generation(&self, space: &Space) -> Result<(u32, Self), StoreError> {
        let number = self.generations()?.last().map_or(1, |g| g.number + 1);
        let words = self.server.finds_words();
        create(&self.client, &name_of(&self.client.address, number), &Header::new(space, words))?;
        Ok((number, self.generation(number)?))
    }

    /// A store over one generation, whether it serves or not.
    ///
    /// # Errors
    /// If there is no such generation, or the server cannot be asked.
    pub fn generation(&self, number: u32) -> Result<Self, StoreError> {
        let name = name_of(&self.client.address, number);
        let described = describe(&self.client, &name)?.ok_or_else(|| self.no_generation(number))?;
        let header = Header::of(&self.client, &described)?;
        Self::over(self.client.clone(), self.server.clone(), name, &header)
    }

    fn no_generation(&self, number: u32) -> StoreError {
        self.client.failed("be opened", format!("there is no generation {number}"))
    }

    /// Has a generation serve from now on, for everybody, in one step. Stores that are open
    /// stay where they are; [`MilvusStore::is_current`] tells them.
    ///
    /// # Errors
    /// If there is no such generation, or the server cannot be asked.
    pub fn switch_to(&self, number: u32) -> Result<(), StoreError> {
        let name = name_of(&self.client.address, number);
        if describe(&self.client, &name)?.is_none() {
            return Err(self.no_generation(number));
        }
        let request = SetAlias {
            db_name: self.client.database(),
            collection_name: name,
            alias: self.client.address.collection.clone(),
        };
        let _: Status = self.client.call("be switched", method::ALTER_ALIAS, &request)?;
        Ok(())
    }

    /// Whether it is over the generation that serves.
    ///
    /// # Errors
    /// If the server cannot be asked.
    pub fn is_current(&self) -> Result<bool, StoreError> {
        let serving = describe(&self.client, &self.client.address.collection)?;
        Ok(serving.is_some_and(|d| real_name(&self.client.address, &d) == self.collection))
    }

    /// Deletes a generation that does not serve, with all that is in it.
    ///
    /// # Errors
    /// If it serves, or the server cannot be asked.
    pub fn drop_generation(&self, number: u32) -> Result<(), StoreError> {
        let name = name_of(&self.client.address, number);
        let serving = describe(&self.client, &self.client.address.collection)?;
        if serving.is_some_and(|d| real_name(&self.client.address, &d) == name) {
            let why = format!("generation {number} serves; switch to another one first");
            return Err(self.client.failed("drop it", why));
        }
        drop_collection(&self.client, name)
    }

    /// Deletes everything that is stored at an address: all generations, and the name.
    ///
    /// # Errors
    /// If the server cannot be asked.
    pub fn destroy(address: &Address, options: Options) -> Result<(), StoreError> {
        let client = Client::new(address, options)?;
        let request = ShowCollections { db_name: client.database() };
        let all: Collections = client.call("be deleted", method::SHOW_COLLECTIONS, &request)?;
        let request = DropAlias { db_name: client.database(), alias: address.collection.clone() };
        // A collection with an alias cannot be dropped; there may be none.
        let _: Result<Status, _> = client.call("be deleted", method::DROP_ALIAS, &request);
        let mut own = all.collection_names.into_iter().filter(|n| number_of(address, n).is_some());
        own.try_for_each(|name| drop_collection(&client, name))
    }

    /// Which Milvus it is on.
    pub fn server(&self) -> &ServerVersion {
        &self.server
    }
}

fn drop_collection(client: &Client, name: String) -> Result<(), StoreError> {
    let request = OfCollection { db_name: client.database(), collection_name: name };
    let _: Status = client.call("be deleted", method::DROP_COLLECTION, &request)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_known_by_their_names() {
        let address: Address = "milvus://h/a_g".parse().expect("an address");
        for number in [1, 12, 9999, 12345] {
            assert_eq!(number_of(&address, &name_of(&address, number)), Some(number));
        }
        for other in ["a_g", "a_g_g1", "a_g_gx001", "b_g0001", "a_g_g0001x"] {
            assert_eq!(number_of(&address, other), None, "{other}");
        }
    }
}
