{{ config(
    materialized='dictionary',
    fields=[('id', 'UInt32'), ('name', 'String')],
    primary_key='id',
    layout='HASHED()',
    lifetime='0',
    source_type='clickhouse',
) }}
SELECT id, name FROM {{ ref('stg_meters') }}
