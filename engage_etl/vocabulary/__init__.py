"""The words that all stages share: attributes, outcomes and reasons, import options, comparison forms, masking."""
