{# Reasons for which rows are skipped; those of all others are rejected. A test holds the list to the program's. #}
{% macro skipping_reasons() -%}
    ('superseded', 'no_standard_identifier', 'not_in_mode', 'unsubscribed', 'deactivated')
{%- endmacro %}
