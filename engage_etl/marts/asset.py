"""The dbt models as Dagster assets downstream of ``applied_updates``.

They are not part of an import's run: the sensor ``marts`` refreshes them afterwards, many imports at once. For
``engage_etl/definitions.py``::

    Definitions.merge(imports, marts_definitions(settings))

Loading costs a few milliseconds once ``prepare_manifest(settings)`` has run (``engage-etl up`` should call it first;
without, the first load calls it and takes some seconds). dbt itself is only ever loaded by the run that builds models.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AssetSpec,
    AutomationCondition,
    AutomationConditionSensorDefinition,
    DefaultSensorStatus,
    Definitions,
    Failure,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableMetadataValue,
    TableRecord,
    TableSchema,
    multi_asset,
)

from engage_etl.errors import StoreError
from engage_etl.marts.project import (
    DbtFailed,
    Lineage,
    Model,
    NodeResult,
    build_models,
    prepare_manifest,
    read_lineage,
)
from engage_etl.settings import Settings
from engage_etl.store.engine import building_facts, open_store

_log = logging.getLogger(__name__)

UPSTREAM = AssetKey("applied_updates")
GROUPS = ("marts", "marts_staging")
"""Groups of the lineage graph: a model is in that of its schema."""

OWNERS = ["team:engage-etl"]
WHEN_RED = """
**Red?** dbt could not build it; the message is dbt's. Imports go on, and the model has the rows of the build before. Once
what the message names is put right, materialize it, or wait for the next import. A red check says that rows are not what
the check describes: look for them with the SQL of the test, in `dbt/`.
""".strip()
DBT_TEST = """
A test of dbt that says by its name what rows of this model must be like. Red or yellow: some are not; the model and imports
are as they were. `failures` is how many; its SQL in `dbt/` finds them. Please report it.
""".strip()
NO_DUPLICATES = "identifiers_are_unique"
UNIQUE_ADDRESSES = "addresses_are_unique"
STORE_CHECKS = (
    AssetCheckSpec(
        NO_DUPLICATES,
        asset="duplicate_identifiers",
        description="No two contacts have the same external identifier, which nothing prevents. Yellow: the examples name "
        "the contacts, the newest first, and the import since which. Look at them (`engage-etl contacts show --id`), decide "
        "whose it is, and give the others another identifier, or forget them; until then rows with it are rejected.",
    ),
    AssetCheckSpec(
        UNIQUE_ADDRESSES,
        asset="contact_current",
        description="No two contacts have the same e-mail address or mobile number: the unique indexes are there, and each "
        "comparison form is that of its address. Yellow: another program has written addresses without `email_key` and "
        "`mobile_key`, or an index was dropped. Correct the forms of the contacts in the examples; where the index refuses "
        "that, another contact has this address.",
    ),
)
"""Checks that look at the whole store; they never fail a run."""
_LAYERS = {"marts": "mart", "marts_staging": "staging"}
"""The tag ``layer`` of a model, by its schema."""
_SECONDS_BETWEEN_LOOKS = 10
_LONGEST_BUILD = 600  # seconds
_GOOD = ("success", "pass", "warn")


def marts_definitions(settings: Settings) -> Definitions:
    """The dbt models, their tests as checks, and the sensor that refreshes them; the sensor is on by default.

    A dbt project with a mistake leaves the models out, with a warning: imports go on.
    """
    try:
        return Definitions(assets=[mart_assets(settings)], sensors=[marts_sensor()])
    except DbtFailed as failed:
        _log.warning("The dbt models are left out: %s", failed)
        return Definitions()


def marts_sensor() -> AutomationConditionSensorDefinition:
    """Starts a run of the models whenever imports have been applied since the last one."""
    return AutomationConditionSensorDefinition(
        name="marts",
        target=AssetSelection.groups(*GROUPS),
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=_SECONDS_BETWEEN_LOOKS,
        # A run whose process was killed counts as going on until Dagster's monitoring ends it by this limit.
        run_tags={"dagster/max_runtime": str(_LONGEST_BUILD)},
    )


def mart_assets(settings: Settings) -> AssetsDefinition:
    """All dbt models as one definition, of which any part can be materialized."""
    lineage = read_lineage(prepare_manifest(settings))
    names = {model.unique_id: model.name for model in lineage.models}

    @multi_asset(
        name="dbt_models",
        specs=[_model_spec(model) for model in lineage.models],
        check_specs=[
            AssetCheckSpec(test.name, asset=AssetKey(test.model), description=test.description or DBT_TEST)
            for test in lineage.tests
        ]
        + [spec for spec in STORE_CHECKS if spec.asset_key.path[-1] in names.values()],
        can_subset=True,
    )
    def dbt_models(context: AssetExecutionContext) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
        """Builds the selected models in the store and runs their tests."""
        checks = context.selected_asset_check_keys
        about = {*context.selected_asset_keys, *(check.asset_key for check in checks)}
        try:
            results = build_models(settings, sorted(key.path[-1] for key in about), building_facts(settings))
        except (DbtFailed, StoreError) as failed:
            raise Failure(str(failed)) from None
        yield from _model_results(results, names, context.selected_asset_keys)
        yield from _check_results(results, lineage, checks)
        yield from _store_check_results(settings, checks, _built(results, names))
        _fail_on_broken_models(results, names)

    return dbt_models


def refresh_condition() -> AutomationCondition[Any]:
    """True when an import was applied since the models were last asked for, and they are not being built.

    ``eager()`` would wait as long as one import waits or has failed. ``any_deps_updated()`` forgets an import
    that is applied while models are being built; as it stands here, times are compared, so that none is forgotten.
    Models that read models are asked for together with those, in one run, and not again when that run has built them.
    """
    newly_applied = AutomationCondition.any_deps_match(AutomationCondition.newly_updated())
    applied = newly_applied.allow(AssetSelection.assets(UPSTREAM)).since(AutomationCondition.newly_requested())
    with_models = AutomationCondition.any_deps_match(AutomationCondition.will_be_requested())
    return (applied & ~AutomationCondition.in_progress()) | with_models


def _model_spec(model: Model) -> AssetSpec:
    upstream = [AssetKey(name) for name in model.depends_on] + ([UPSTREAM] if model.reads_store else [])
    columns = [TableColumn(name, description=text or None) for name, text in model.columns.items()]
    return AssetSpec(
        model.name,
        deps=upstream,
        skippable=True,
        description=f"{model.description.rstrip()}\n\n{WHEN_RED}",
        group_name=model.schema,
        owners=OWNERS,
        tags={"layer": _LAYERS.get(model.schema, model.schema), "refreshed": "after-imports"},
        kinds={"dbt", "postgres"},
        metadata={"dagster/column_schema": TableSchema(columns), "dagster/table_name": model.relation},
        automation_condition=refresh_condition(),
    )


def _model_results(
    results: list[NodeResult], names: dict[str, str], selected: AbstractSet[AssetKey]
) -> Iterator[MaterializeResult[None]]:
    for result in results:
        key = AssetKey(names.get(result.unique_id, ""))
        if key in selected and result.status in _GOOD:
            metadata: dict[str, float | str] = {"seconds": result.seconds, "dbt says": result.message or ""}
            yield MaterializeResult(asset_key=key, metadata=metadata)


def _check_results(
    results: list[NodeResult], lineage: Lineage, selected: AbstractSet[AssetCheckKey]
) -> Iterator[AssetCheckResult]:
    tests = {test.unique_id: test for test in lineage.tests}
    for result in results:
        test = tests.get(result.unique_id)
        key = AssetCheckKey(AssetKey(test.model), test.name) if test is not None else None
        if key in selected and key is not None and test is not None and result.status != "skipped":
            yield AssetCheckResult(
                check_name=key.name,
                asset_key=key.asset_key,
                passed=result.status == "pass",
                severity=AssetCheckSeverity.WARN if test.only_warns else AssetCheckSeverity.ERROR,
                metadata={"failures": result.failures or 0, "seconds": result.seconds},
            )


def _built(results: list[NodeResult], names: dict[str, str]) -> set[str]:
    """Names of the models that were built just now."""
    return {names[result.unique_id] for result in results if result.unique_id in names and result.status in _GOOD}


def _store_check_results(
    settings: Settings, selected: AbstractSet[AssetCheckKey], built: AbstractSet[str]
) -> Iterator[AssetCheckResult]:
    """Look at the whole store; what could not be built is not judged."""
    from engage_etl.marts.store_checks import duplicate_identifiers, shared_addresses

    looks = {NO_DUPLICATES: duplicate_identifiers, UNIQUE_ADDRESSES: shared_addresses}
    wanted = [spec for spec in STORE_CHECKS if spec.key in selected and spec.asset_key.path[-1] in built]
    if not wanted:
        return
    with open_store(settings) as store, store.engine.connect() as connection:
        for spec in wanted:
            started = time.monotonic()
            found = looks[spec.name](connection, settings.sample_rows)
            seconds = round(time.monotonic() - started, 3)
            examples = {"examples": _table(found.examples)} if found.examples else {}
            yield AssetCheckResult(
                check_name=spec.name,
                asset_key=spec.asset_key,
                passed=found.is_good,
                severity=AssetCheckSeverity.WARN,
                description=found.sentence,
                metadata={**found.numbers, **examples, "seconds": seconds},
            )


def _table(records: Sequence[Mapping[str, str]]) -> TableMetadataValue:
    columns = [TableColumn(name) for name in records[0]]
    return MetadataValue.table([TableRecord(dict(record)) for record in records], schema=TableSchema(columns))


def _fail_on_broken_models(results: list[NodeResult], names: dict[str, str]) -> None:
    broken = [result for result in results if result.unique_id in names and result.status not in (*_GOOD, "skipped")]
    if broken:
        said = "; ".join(f"{names[result.unique_id]}: {result.message}" for result in broken)
        skipped = [names.get(result.unique_id) for result in results if result.status == "skipped"]
        without = ", ".join(name for name in skipped if name is not None)
        raise Failure(f"dbt could not build {said}" + (f"; not built without: {without}" if without else ""))
