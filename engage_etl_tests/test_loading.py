"""Modules are loaded without the garbage collector, and only then."""

from __future__ import annotations

import gc

import pytest

from engage_etl.loading import quick_loading


def test_the_collector_rests_while_modules_are_loaded_and_leaves_them_out_later() -> None:
    gc.unfreeze()
    try:
        with quick_loading():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_the_collector_works_again_after_an_error() -> None:
    try:
        with pytest.raises(ImportError), quick_loading():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
