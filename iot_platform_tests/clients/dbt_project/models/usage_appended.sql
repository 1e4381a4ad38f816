{{ config(materialized='incremental', incremental_strategy='append', order_by='at') }}
SELECT meter, at, kWh FROM {{ ref('usage') }}
{% if is_incremental() %} WHERE at > (SELECT max(at) FROM {{ this }}) {% endif %}
