{#
  Build as the role of the profile whatever happened before: dbt takes it on once for a connection, within a transaction, and
  the connection loses it if that fails. What was then built would belong to the user, and no later build could change it.
#}
{% macro as_builder() %}
{%- if target.role %}set local role {{ target.role }}{% endif -%}
{% endmacro %}
