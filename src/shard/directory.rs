//! Which tree an account belongs to. A root account names its own tree; only sub-accounts are listed.

use crate::engine::ids::AccountId;
use crate::engine::world::World;
use dashmap::DashMap;

#[derive(Debug, Default)]
pub struct Directory {
    roots_of_sub_accounts: DashMap<AccountId, AccountId>,
}

impl Directory {
    pub fn of(world: &World) -> Directory {
        let directory = Directory::default();
        for account in world.shards.iter().flat_map(|shard| shard.accounts.iter()) {
            directory.note(account.id, account.root);
        }
        directory
    }

    pub fn note(&self, account_id: AccountId, root: AccountId) {
        if account_id != root {
            self.roots_of_sub_accounts.insert(account_id, root);
        }
    }

    /// The tree of an account; an unknown account is its own tree, whose shard will not find it.
    pub fn root_of(&self, account_id: AccountId) -> AccountId {
        self.roots_of_sub_accounts
            .get(&account_id)
            .map_or(account_id, |root| *root)
    }
}
