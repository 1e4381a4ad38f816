{{ config(materialized='table', engine='MergeTree()', order_by=['meter', 'at'], partition_by='toYYYYMM(at)') }}
SELECT meter, at, kWh FROM {{ source('raw', 'readings') }}
WHERE meter IN (SELECT id FROM {{ ref('stg_meters') }})
