"""What each import mode does with members, contacts and new ones: the table of R20."""

from __future__ import annotations

from dataclasses import dataclass

from engage_etl.vocabulary.choices import ImportMode


@dataclass(frozen=True)
class ModeRules:
    """What a mode does; rows of a kind that it does not take are ``not_in_mode``.

    takes_members: rows that match a member of the group; takes_contacts: rows that match another contact, who becomes a
    member; creates: rows that match nobody; writes_profiles: of matched contacts; is_leaving: members leave the group;
    takes_out_others: members that the file lacks leave it.
    """

    takes_members: bool = False
    takes_contacts: bool = False
    creates: bool = False
    writes_profiles: bool = False
    is_leaving: bool = False
    takes_out_others: bool = False

    @property
    def takes_all(self) -> bool:
        """Whether no row is ``not_in_mode``."""
        return self.takes_members and self.takes_contacts and self.creates


MODES = {
    ImportMode.ADD: ModeRules(takes_contacts=True, creates=True),
    ImportMode.ADD_CONTACTS_AS_MEMBERS: ModeRules(takes_contacts=True),
    ImportMode.UPDATE_CURRENT_MEMBERS: ModeRules(takes_members=True, writes_profiles=True),
    ImportMode.ADD_AND_UPDATE: ModeRules(takes_members=True, takes_contacts=True, creates=True, writes_profiles=True),
    ImportMode.REPLACE: ModeRules(
        takes_members=True, takes_contacts=True, creates=True, writes_profiles=True, takes_out_others=True
    ),
    ImportMode.REMOVE: ModeRules(takes_members=True, is_leaving=True),
}
