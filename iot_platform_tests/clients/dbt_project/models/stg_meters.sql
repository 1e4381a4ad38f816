{{ config(materialized='view') }}
SELECT id, name, note, price FROM {{ ref('meters') }}
