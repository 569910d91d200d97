"""Further keys of LiteLLM 1.110's files that have no effect here: names only, so that none counts as a misspelling."""

from __future__ import annotations

__all__ = ["COMPATIBLE", "GENERAL", "PARAMS", "PROVIDERS", "ROUTER", "SETTINGS", "names"]


def names(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


PARAMS = names(
    "adaptive_router_config adaptive_router_default_model allow_client_keepalive_override "
    "allow_legacy_cloud_file_ids anthropic_disable_workload_identity_federation anthropic_federation_rule_id "
    "anthropic_federation_workspace_id anthropic_identity_source anthropic_identity_token "
    "anthropic_identity_token_file anthropic_issuer_audience anthropic_issuer_signing_key_ref "
    "anthropic_issuer_subject anthropic_issuer_ttl_seconds anthropic_issuer_url anthropic_keycloak_auth_method "
    "anthropic_keycloak_client_id anthropic_keycloak_client_secret_ref anthropic_keycloak_scope "
    "anthropic_keycloak_token_url anthropic_organization_id anthropic_service_account_id "
    "auto_router_max_input_chars auto_router_model_compression auto_router_routing_compression aws_batch_role_arn "
    "aws_bedrock_control_plane_endpoint aws_bedrock_project_id aws_bedrock_runtime_endpoint azure_ad_token "
    "azure_password azure_scope azure_username bedrock_tags bucket_name chatgpt_auth_file client_id client_secret "
    "cost_per_second daily_reset_time fedramp_uplift_multiplier fireworks_forward_user_id gcs_bucket_name "
    "milvus_db_name milvus_partition_names milvus_text_field openai_identity_provider_id openai_identity_token_file "
    "openai_service_account_id provider_affinity_header quality_router_config quality_router_default_model "
    "regional_endpoint_uplift_multiplier regional_processing_uplift_multiplier_eu "
    "regional_processing_uplift_multiplier_us responses_api_version rpd s3_access_key_id s3_bucket_name "
    "s3_bucket_owner s3_encryption_key_id s3_endpoint_url s3_output_bucket_name s3_region_name s3_secret_access_key "
    "stream_options stream_timeout_by_service_tier switchyard_router_config tenant_id "
    "thought_signature_in_tool_call_id timeout_by_service_tier token_exchange_audience token_exchange_endpoint "
    "token_exchange_profile "
    "token_exchange_scope tpd use_xai_oauth valkey_embedding_field valkey_host valkey_password valkey_port "
    "valkey_ssl valkey_text_field vector_store_id vertex_credentials vertex_location vertex_project "
    "watsonx_region_name"
)

GENERAL = names(
    "agent_access_default_deny allowed_client_side_s3_buckets allowed_client_side_s3_endpoint_urls "
    "claude_code_marketplace_auth_required disable_fallbacks_on_per_model_rate_limits "
    "disable_requester_ip_address_logging maximum_spend_logs_cleanup_target_size maximum_spend_logs_size "
    "maximum_spend_logs_size_check_interval mcp_disabled_capabilities mcp_require_explicit_server_scope "
    "request_tag_mappings return_wildcard_routes self_serve_budget_policy skill_scanner spend_logs_prompt_storage "
    "use_spend_logs_ledger vertex_ai_pass_through_drop_anthropic_betas"
)

SETTINGS = names(
    "aclient_session adapters agent_search_embedding_model ai21_key aiohttp_trust_env aleph_alpha_key "
    "allow_dynamic_callback_disabling amazon_nova_api_key anthropic_beta_headers_url anthropic_key "
    "anthropic_messages_estimate_initial_input_tokens anthropic_prompt_caching_ttl "
    "anthropic_sse_ping_interval_seconds api_base api_key api_version apply_search_free_tier argilla_batch_size "
    "argilla_transformation_object audit_log_callbacks autorouter_presets_url aws_sqs_callback_params azure_key "
    "baseten_key batch_line_item_callbacks bedrock_neutralize_orphaned_tool_blocks bedrock_request_metadata_fields "
    "block_requests_for_models_without_pricing budget_exceeded_status_code budget_exceeded_throttle_percentage "
    "budget_rollover bytez_key caching clarifai_key client_session cloudflare_api_key cohere_key cometapi_key "
    "common_cloud_provider_auth_params cost_discount_config cost_margin_config credential_list custom_prompt_dict "
    "custom_provider_map databricks_key datadog_llm_observability_params datadog_params datadog_use_v1 "
    "datarobot_key default_in_memory_ttl default_key_max_budget_alert_emails default_redis_batch_cache_expiry "
    "default_redis_ttl default_soft_budget disable_add_prefix_to_prompt disable_add_transform_inline_image_block "
    "disable_add_user_agent_to_request_tags disable_aiohttp_trust_env "
    "disable_anthropic_gemini_context_caching_transform disable_stop_sequence_limit disable_streaming_logging "
    "disable_token_counter disable_vertex_batch_output_transformation dynamodb_table_name email "
    "enable_anthropic_prompt_caching enable_azure_ad_token_refresh "
    "enable_caching_on_provider_specific_optional_params enable_end_user_cost_tracking_prometheus_only "
    "enable_gemini_default_thinking_level_low enable_key_alias_format_validation "
    "enable_loadbalancing_on_batch_endpoints enable_model_config_credential_overrides error_logs "
    "expose_router_debug_in_errors filter_invalid_headers force_redis_hash_tag_grouping gcs_pub_sub_use_v1 "
    "gdc_api_base gdc_key gemini_include_thoughts_default gemini_live_defer_setup generic_api_use_v1 "
    "generic_logger_headers gigachat_key global_bitbucket_config global_gitlab_config "
    "google_moderation_confidence_threshold gradient_ai_api_key groq_key guardrail_name_config_map heroku_key http2 "
    "huggingface_key in_memory_llm_clients_cache inception_key infinity_key initialized_langfuse_clients "
    "input_callback internal_user_budget_duration key_alias_pattern langfuse_enable_update_trace_keys "
    "langsmith_batch_size lemonade_key llama_api_key llamaguard_model_name llamaguard_unsafe_content_categories "
    "llm_guard_mode log_auth_failure_key_identity log_client_error_tracebacks logged_real_time_event_types logging "
    "longer_context_model_fallback_dict maritalk_key max_fallbacks max_tokens "
    "max_user_budget mcp_tool_search model_alias_map model_cost_map_url model_fallbacks model_group_settings "
    "models_by_provider nebius_key network_mock newrelic_params nlp_cloud_key novita_api_key "
    "num_retries_per_request ollama_key openai_key openai_like_key openai_moderations_model_name "
    "openai_system_messages_first openrouter_key otel_tenant_destination_mode output_parse_pii "
    "overwrite_user_with_key_hash ovhcloud_key personal_key_model_access_from_teams pointfive_params predibase_key "
    "predibase_tenant_id presidio_ad_hoc_recognizers prometheus_deployment_and_latency_caller_identity "
    "prometheus_emit_input_sequence_length_label prometheus_emit_rate_limit_labels prometheus_emit_stream_label "
    "prometheus_end_user_metrics_cleanup_interval_seconds prometheus_end_user_metrics_max_series_per_metric "
    "prometheus_end_user_metrics_ttl_seconds prometheus_exclude_labels prometheus_exclude_metrics "
    "prometheus_latency_buckets prometheus_metrics_cleanup_interval_seconds "
    "prometheus_metrics_max_series_per_metric prometheus_metrics_ttl_seconds "
    "prometheus_user_budget_label_include_email_alias prompt_name_config_map provider_url_destination_allowed_hosts "
    "proxy_auth public_agent_groups public_mcp_hub_strict_whitelist public_mcp_servers public_model_groups_links "
    "public_skills_index reasoning_auto_summary reasoning_effort_rounding replicate_key request_correlation_in_logs "
    "require_managed_files route_all_chat_openai_to_responses s3_audit_callback_params safe_memory_mode "
    "sap_service_key secret_manager_client skill_search_embedding_model skip_system_message_in_guardrail "
    "skip_tool_message_in_guardrail snowflake_key sse_keepalive_ping_interval_seconds ssl_certificate "
    "ssl_ecdh_curve ssl_security_level ssl_verify standard_logging_payload_excluded_fields store_audit_logs "
    "strip_anthropic_total_tokens suppress_debug_info togetherai_api_key token use_client use_litellm_proxy "
    "user_url_allowed_hosts user_url_validation vector_store_index_registry "
    "vector_store_registry vector_store_search_failure_mode vercel_ai_gateway_key vertex_ai_safety_settings "
    "vertex_location vertex_project wandb_key xai_key zerobus_params"
)
# Read by its proxy, and not in its list of settings.
GENERAL |= names(
    "alert_type_config allow_client_side_credentials allow_public_health_readiness_details "
    "always_include_stream_usage auto_redirect_ui_login_to_sso "
    "custom_team_metadata_validate database_connection_pool_timeout disable_batch_input_file_rate_limiting "
    "disable_bedrock_agent_runtime_passthrough disable_key_generate_for_org_admin "
    "drain_endpoint_token enable_drain_endpoint expose_fallback_errors_to_caller fail_closed_budget_enforcement "
    "health_check_ignore_transient_errors health_check_staleness_threshold hide_default_credentials_hint "
    "maximum_spend_logs_cleanup_cron mcp_allow_all_keys_respects_mcp_scope mcp_client_side_auth_header_name "
    "mcp_session_token_signing passthrough_managed_object_ids password_policy_check_breached_passwords "
    "require_end_user_mcp_access_defined require_key_mcp_access_defined search_tools "
    "skip_batch_input_file_rate_limiting_for_models skip_batch_input_file_rate_limiting_for_providers "
    "spend_report_frequency team_metadata_schema team_metadata_validation_error_message "
    "team_metadata_validation_timeout token_rate_limit_type tracing track_unmanaged_batch_cost "
    "use_redis_transaction_buffer use_shared_health_check use_team_public_model_name use_x_forwarded_for"
)
# `LlmProviders` of its types, the lists of providers in its constants, and llms/openai_like/providers.json.
PROVIDERS = names(
    "a2a a2a_agent abliteration ai21 ai21_chat aiand aihubmix aiml aiohttp_openai amazon_nova anthropic "
    "anthropic_text anyscale apertis assemblyai auto_router aws_polly aws_textract azure azure_ai azure_speech "
    "azure_text baseten bedrock bedrock_mantle bespoke bigmodel black_forest_labs bytez cerebras charity_engine "
    "chatgpt chutes clarifai clf_ai_gateway cloudflare codestral cognition cohere cohere_chat cometapi compactifai "
    "coralbricks cortecs crusoe cursor custom_openai darkbloom dashscope databricks databricks_agent datarobot "
    "deepgram deepinfra deepseek docker_model_runner edenai elevenlabs empiriolabs empower eu_jev fal_ai "
    "featherless_ai fireworks_ai friendliai galadriel gdc gemini gigachat github github_copilot gmi gradient_ai "
    "groq helicone heroku hosted_vllm hostinger_router huggingface humanloop hyperbolic inception inferenceapis "
    "infinity jina_ai kyma lambda_ai langflow langfuse langgraph laya lemonade libertai litellm_agent litellm_proxy "
    "llamafile llamagate lm_studio manus maritalk meta meta_llama microsoft_365_copilot milvus minimax mistral "
    "modelscope mongodb moonshot morph nace nadir nano-gpt nebius neosantara nlp_cloud novita nscale nvidia_nim "
    "nvidia_riva oci ollama ollama_chat oobabooga openai openai_like opencode_go openinfer openrouter opensearch "
    "ovhcloud parallel_ai parasail perplexity petals pg_vector pinstripes poe predibase prism publicai "
    "qwen_ai_platform qwencloud ragflow recraft reducto reka replicate runwayml s3_vectors sagemaker sagemaker_chat "
    "sagemaker_nova sail sambanova sap sarvam scaledown scaleway scx-ai snowflake soniox stability strands_decider "
    "streamlake synthetic tencent tensormesh text-completion-codestral text-completion-inception "
    "text-completion-openai together_ai topaz transcribe triton typesafe v0 valkey veniceai vercel_ai_gateway "
    "vertex_ai vertex_ai_beta vllm volcengine voyage wally wandb watsonx watsonx_text xai xiaomi_mimo xinference "
    "zai zerogpu"
)
# Providers that LiteLLM calls with OpenAI's API and a bearer token at whatever `api_base` a file gives.
COMPATIBLE = names(
    "abliteration ai21 ai21_chat aiand aihubmix aiml apertis baseten cerebras charity_engine chutes codestral "
    "cognition cometapi compactifai coralbricks cortecs crusoe darkbloom dashscope deepinfra deepseek edenai "
    "empiriolabs empower featherless_ai friendliai galadriel gmi groq hostinger_router hyperbolic inception "
    "inferenceapis kyma libertai llamagate maritalk meta meta_llama minimax mistral modelscope moonshot morph nadir "
    "nano-gpt nebius neosantara novita nscale opencode_go openinfer openrouter ovhcloud parasail pinstripes poe "
    "prism publicai qwen_ai_platform qwencloud reka sail sambanova sarvam scaleway scx-ai streamlake synthetic "
    "tencent tensormesh together_ai v0 veniceai vercel_ai_gateway volcengine wally wandb xai xiaomi_mimo zai "
    "zerogpu"
)
# In snippets of its documentation, some of them in a section that does not read them; or read, and in no list.
GENERAL |= names(
    "alerts datadog_api_key disable_model_info_refresh email forward_llm_provider_auth_headers "
    "oauth2_config_mappings set_verbose slack store_prompts_in_cold_storage"
)
SETTINGS |= names(
    "azure_content_safety_params code_interpreter_interception_params compression_interception_params "
    "default_vertex_config enable_redis_auth_cache forward_client_headers_to_llm_api forward_llm_provider_auth_headers "
    "global_prompt_directory langfuse_public_key langfuse_secret_key mcp_aliases mcp_semantic_tool_filter "
    "presidio_logging_only priority_reservation_settings prompt_injection_params responses scim_admin_group "
    "scim_upsert_user suppress_startup_output toxic_confidence_threshold ui_theme_config websearch_interception_params"
)
PARAMS |= names("embedding_model index_name kubernetes_pod_discovery vector_bucket_name")
# `all_litellm_params` of 1.110.2: what its proxy and its SDK hand from one function to the next, in files by mistake.
PARAMS |= names(
    "aembedding aimg_generation allm_passthrough_route atext_completion attempted_targets aws_workspace_id azure "
    "azure_ad_token_provider client client_side_timeout complete_response completion_call_id cost_per_query "
    "data_residency default_headers deployment_id disable_add_transform_inline_image_block fallback_depth "
    "github_copilot_auth_type github_copilot_host github_copilot_user_session log_client_error_tracebacks "
    "max_agentic_loops model_alias_map model_config model_file_id_mapping model_list newrelic_region "
    "preset_cache_key proxy_server_request rust search_tool_name secret_fields self shared_session "
    "signoz_ingestion_endpoint signoz_ingestion_key stream_response text_completion use_client vertex_ai_location "
    "vertex_ai_project vertex_collection_id vertex_count_tokens_location vertex_engine_id vertex_voice_dict"
)
SETTINGS |= names("budget_reset_time headers organization project")
ROUTER = names("enable_mid_stream_fallback_continuation session_affinity_repin_on_failover")
