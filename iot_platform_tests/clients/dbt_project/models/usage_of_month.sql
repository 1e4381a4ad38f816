{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partition_by='toYYYYMM(at)', order_by='at') }}
SELECT meter, at, kWh FROM {{ ref('usage') }}
