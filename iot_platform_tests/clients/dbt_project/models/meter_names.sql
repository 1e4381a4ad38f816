{# Inside the embedded server its user has no password: dictionaries read without one. #}
{{ config(
    materialized='dictionary',
    fields=[('id', 'UInt32'), ('name', 'String')],
    primary_key='id',
    layout='HASHED()',
    lifetime='0',
    source_type='clickhouse',
    connection_overrides={'password': ''},
) }}
SELECT id, name FROM {{ ref('stg_meters') }}
