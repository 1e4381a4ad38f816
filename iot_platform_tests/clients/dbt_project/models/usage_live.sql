{{ config(materialized='materialized_view', engine='SummingMergeTree()', order_by='meter') }}
SELECT meter, sum(kWh) AS kWh FROM {{ source('raw', 'readings') }} GROUP BY meter
