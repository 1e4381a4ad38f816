{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='day', order_by='day') }}
SELECT toDate(at) AS day, sum(kWh) AS kWh, count() AS readings FROM {{ ref('usage') }}
{% if is_incremental() %} WHERE at >= (SELECT toDateTime(max(day), 'UTC') FROM {{ this }}) {% endif %}
GROUP BY day
