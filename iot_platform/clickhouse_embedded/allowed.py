"""The statements, table functions, engines and settings that clients may use.

Everything else is refused, so a new feature of the engine is refused until it has been reviewed and listed. Functions
are the exception: UNSAFE_FUNCTIONS lists those that are refused. The test clickhouse_embedded/test_allowed.py
fails for everything that is on no list; only that test uses REFUSED_SETTINGS.
"""

from __future__ import annotations

from iot_platform.clickhouse_embedded.lexer import words

STATEMENTS = words(
    """
    SELECT WITH ( INSERT EXPLAIN DESCRIBE SHOW EXISTS CHECK USE SET CREATE ALTER DROP UNDROP TRUNCATE RENAME EXCHANGE
    OPTIMIZE DELETE UPDATE KILL SYSTEM ATTACH DETACH REPLACE
    """
)
# Objects of CREATE, ALTER, DROP ...; users, roles, named collections, workloads and the like are excluded.
OBJECTS = words("TABLE TABLES VIEW DATABASE DICTIONARY FUNCTION INDEX")
OBJECT_ADJECTIVES = words("OR REPLACE TEMPORARY MATERIALIZED UNIQUE ALL")

TABLE_FUNCTIONS = words(
    """
    dictionary format fuzzjson fuzzquery generaterandom generateseries generate_series input loop merge
    mergetreeanalyzeindexes mergetreeanalyzeindexesuuid mergetreecodecblockcounts mergetreeindex
    mergetreeprojection mergetreetextindex null numbers numbers_mt primes sqlstandardvalues timeseriesdata
    timeseriesmetricfamilies timeseriesmetrics timeseriessamples timeseriesselector timeseriestags
    prometheusquery prometheusqueryrange values view viewexplain viewifpermitted zeros zeros_mt
    """
)
# Functions that read files or connect to other hosts, and clauses that are written like a function call.
UNSAFE_FUNCTIONS = words(
    """
    file disk table_disk kql eval executable python catboostevaluate aigenerate aifilter aiclassify aiembed
    aiextract airedact aisimilarity aitranslate
    """
)

ENGINES = words(
    """
    mergetree replacingmergetree summingmergetree aggregatingmergetree collapsingmergetree
    versionedcollapsingmergetree coalescingmergetree graphitemergetree memory log tinylog stripelog null set
    join view materializedview buffer merge dictionary generaterandom alias timeseries fuzzjson fuzzquery
    loop atomic ordinary
    """
)
# Keys of SOURCE(CLICKHOUSE(...)); host, port, secure and named collections are excluded.
SOURCE_KEYS = words("USER PASSWORD DB TABLE QUERY WHERE INVALIDATE_QUERY UPDATE_FIELD UPDATE_LAG")

SYSTEM_COMMANDS = (
    "FLUSH LOGS", "FLUSH ASYNC", "RELOAD DICTIONARY", "RELOAD DICTIONARIES", "RELOAD FUNCTION", "STOP MERGES",
    "START MERGES", "STOP TTL", "START TTL", "STOP MOVES", "START MOVES", "STOP VIEW", "START VIEW", "STOP VIEWS",
    "START VIEWS", "REFRESH VIEW", "WAIT VIEW", "CANCEL VIEW", "WAIT LOADING", "DROP MARK", "DROP UNCOMPRESSED",
    "DROP INDEX", "DROP QUERY", "DROP COMPILED", "DROP PRIMARY", "DROP FORMAT", "DROP DNS", "DROP FILESYSTEM",
    "DROP MMAP", "CLEAR", "JEMALLOC PURGE", "LOAD PRIMARY", "UNLOAD PRIMARY", "SYNC FILE", "STOP CLEANUP",
    "START CLEANUP",
)  # fmt: skip

# Types of settings whose values are numbers, booleans, durations or one of a few words.
PLAIN_TYPES = words(
    """
    Bool BoolAuto UInt64 UInt64Auto UInt32 Int64 Int32 NonZeroUInt64 Float FloatAuto Double MaxThreads Seconds
    Milliseconds Char Timezone

    AggregateFunctionInputFormat AlterColumnSecondaryIndexMode AlterUpdateMode ArrowCompression
    ArrowFlightDescriptorType CapnProtoEnumComparingMode CleanDeletedRows DateTimeInputFormat DateTimeOutputFormat
    DateTimeOverflowBehavior DecorrelationJoinKind DeduplicateInsertMode DeduplicateInsertSelectMode
    DeduplicateMergeProjectionMode DefaultDatabaseEngine DefaultTableEngine DistributedCacheLogMode
    DistributedCachePoolBehaviourOnLimit DistributedDDLOutputMode DistributedProductMode EscapingRule
    ExplainQueryPlanDefault FileLikeEngineDefaultPartitionStrategy GeoJSONUnsupportedGeometryHandling
    GeoToH3ArgumentOrder IcebergMetadataLogLevel IdentifierQuotingRule IdentifierQuotingStyle
    InputFormatColumnMatchingCaseSensitivity IntervalOutputFormat JemallocProfileFormat JoinAlgorithm
    JoinOrderAlgorithm JoinOrderConflictDetector JoinStrictness LightweightDeleteMode LightweightMutationProjectionMode
    LoadBalancing LocalFSReadMethod LogQueriesType LogsLevel MergeCoordinatorDistributionAlgorithm
    MergeSelectorAlgorithm MergeTreeDynamicSerializationVersion MergeTreeMapBucketsStrategy
    MergeTreeMapSerializationVersion MergeTreeNullableSerializationVersion MergeTreeObjectSerializationVersion
    MergeTreeObjectSharedDataSerializationVersion MergeTreePartMinMaxIndexColumns MergeTreePatchPartsVersion
    MergeTreeSerializationInfoVersion MergeTreeStringSerializationVersion MergeTreeTextIndexSerializationVersion
    MsgPackUUIDRepresentation MySQLDataTypesSupport ORCCompression ObjectStorageGranularityLevel OverflowMode
    OverflowModeGroupBy ParallelReplicasCustomKeyFilterType ParallelReplicasMode ParquetCompression ParquetVersion
    QueryResultCacheNondeterministicFunctionHandling QueryResultCacheSystemTableHandling S3UriStyle SQLSecurityType
    SchemaInferenceMode SearchOrphanedPartsDisks SetOperationMode ShortCircuitFunctionEvaluation
    SkipUnavailableShardsMode SnappyMode StreamingHandleErrorMode TextIndexPostingListApplyMode
    TextIndexPostingListCodec TotalsMode TransactionsWaitCSNMode UniqueKeyProbeImplementation UpdateParallelMode
    VectorSearchFilterStrategy
    """
)
# Settings of other types whose text is a label, a pattern, a list of names, or a separator of a format.
TEXT_SETTINGS = words(
    """
    bool_false_representation bool_true_representation column_names_for_schema_inference compatibility
    count_distinct_implementation default_format errors_output_format exclude_materialize_skip_indexes_on_insert
    force_data_skipping_indices force_optimize_projection_name format_csv_null_representation
    format_custom_field_delimiter format_custom_result_after_delimiter format_custom_result_before_delimiter
    format_custom_row_after_delimiter format_custom_row_before_delimiter format_custom_row_between_delimiter
    format_json_object_each_row_column_for_object_name format_regexp format_template_resultset_format
    format_template_row_format format_template_rows_between_delimiter format_tsv_null_representation
    function_implementation ignore_data_skipping_indices input_format_mysql_dump_table_name
    input_format_orc_reader_time_zone_name insert_deduplication_token local_filesystem_read_method log_comment
    network_compression_method output_format_avro_codec output_format_avro_string_column_pattern
    output_format_orc_writer_time_zone_name output_format_pretty_grid_charset output_format_sql_insert_table_name
    preferred_optimize_projection_name query_cache_tag temporary_files_codec workload

    auto_statistics_types columns_to_prewarm_mark_cache default_compression_codec
    exclude_materialize_skip_indexes_on_merge marks_compression_codec merge_workload mutation_workload
    primary_key_compression_codec storage_policy
    """
)
# Reviewed and refused: they contain SQL, refer to files, hosts, clusters or credentials, or are for the server only.
REFUSED_SETTINGS = words(
    """
    additional_result_filter ai_function_embedding_default_credentials ai_function_text_default_credentials
    cache_populated_by_fetch_filename_regexp chdb_client_name cluster_for_parallel_replicas compression database
    default_view_definer dialect disk distributed_cache_client_id distributed_cache_file_cache_name
    distributed_plan_force_exchange_kind filesystem_cache_name filter format format_avro_schema_registry_url
    format_schema format_schema_message_name format_schema_source format_template_resultset format_template_row
    framing_output_format http_response_headers iceberg_metadata_compression_method implicit_table_at_top_level
    input_format input_format_record_errors_file_path metrics_perf_events_list order output_format
    output_format_avro_confluent_subject output_format_image_terminal_mode output_format_schema
    parallel_replicas_custom_key polyglot_dialect promql_database promql_table remote_filesystem_read_method
    remote_fs_zero_copy_zookeeper_path rename_files_after_processing s3_base s3_upload_checksum_algorithm
    s3queue_default_zookeeper_path schema_inference_hints select send_logs_source_regexp sort
    stream_like_engine_insert_queue trace_profile_events_list url_base
    """
)
# Contains conditions, which are checked like statements (see hidden_sql.py).
FILTERS = "additional_table_filters"
