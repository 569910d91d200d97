"""The keys of LiteLLM's configuration files: which have an effect here, which have none, which must not be ignored.

Names are those of LiteLLM 1.9x to 1.110 (`Router.__init__`, `ConfigGeneralSettings`, `LiteLLM_Params`, and its page of
settings).
"""

from __future__ import annotations

import re

from sagewire.gateway.config import litellm_names
from sagewire.gateway.config.litellm_names import names as _names

__all__ = [
    "GENERAL_NO_EFFECT",
    "GENERAL_TAKEN",
    "GUARDS",
    "INFO_REFUSED",
    "PARAMS_NO_EFFECT",
    "PARAMS_TAKEN",
    "PRICES",
    "REFUSED",
    "ROUTER_NO_EFFECT",
    "ROUTER_TAKEN",
    "SECRET",
    "SETTINGS_NO_EFFECT",
    "SETTINGS_TAKEN",
    "TOP_NO_EFFECT",
    "cure_of",
    "is_kept_back",
]


# Access restrictions: a gateway that ignored one would allow more than its configuration does.
REFUSED = _names(
    "agent_access_default_deny admin_only_routes allowed_ips allowed_routes banned_keywords_list "
    "blocked_user_list custom_auth custom_auth_run_common_checks custom_key_generate custom_key_policy "
    "custom_key_update "
    "default_key_generate_params disable_custom_api_keys enable_jwt_auth enable_oauth2_auth "
    "enable_oauth2_proxy_auth fail_closed_rate_limit_enforcement guardrail_list "
    "block_requests_for_models_without_pricing "
    "default_api_key_rpm_limit default_api_key_tpm_limit default_max_internal_user_budget enable_tag_filtering "
    "enforce_rbac enforce_user_param enforced_params guardrails "
    "litellm_jwtauth max_budget max_end_user_budget max_end_user_budget_id max_internal_user_budget max_user_budget "
    "post_call_rules "
    "policies policy_attachments pre_call_rules provider_budget_config public_routes "
    "reject_clientside_metadata_tags role_permissions service_account_settings tag_budget_config "
    "upperbound_key_generate_params "
    "validate_end_user_id_in_db"
)
_NEW_KEYS = _names(
    "default_api_key_rpm_limit default_api_key_tpm_limit default_key_generate_params upperbound_key_generate_params"
)
# Keys of `model_info` that keep callers out of a model.
INFO_REFUSED = _names("access_windows enable_tag_filtering team_id")
# Values of `callbacks` that mask or refuse requests (litellm/proxy/common_utils/callback_utils.py).
GUARDS = _names(
    "aporia_prompt_injection azure_content_safety banned_keywords blocked_user_check detect_prompt_injection "
    "dynamic_rate_limiter dynamic_rate_limiter_v3 "
    "google_text_moderation guardrails_ai hide_secrets lakera_prompt_injection llamaguard_moderations "
    "llmguard_moderations openai_moderations presidio secret_detection"
)
# Keys and accounts of services that LiteLLM logs to or signs in with: secrets that no model's server may get.
SECRET = re.compile(
    r"(?<!bos)(?<!eos)(?<!pad)_(api_key|secret|secret_key|access_key|access_key_id|password|token|credentials|private_key)$"
    r"|service_account|^(langsmith|langfuse|langtrace|dd|datadog|gcs|s3|arize|phoenix|posthog|braintrust|humanloop|opik"
    r"|helicone|lunary|weave|wandb|galileo|slack|otel|litellm)_"
)

PARAMS_TAKEN = _names(
    "api_base api_key aws_access_key_id aws_external_id aws_profile_name aws_region_name aws_role_name "
    "aws_sagemaker_allow_zero_temp aws_secret_access_key aws_session_name aws_session_tags aws_session_token "
    "aws_sts_endpoint aws_web_identity_token base_url bos_token cooldown_time custom_llm_provider drop_params "
    "eos_token extra_body final_prompt_value hf_model_name initial_prompt_value litellm_credential_name "
    "max_completion_tokens max_parallel_requests max_retries model model_id num_retries region_name request_timeout "
    "extra_headers headers keepalive_seconds organization "
    "roles rpm sagemaker_base_url ssl_verify stream_timeout timeout tpm weight"
)
PRICES = _names("input_cost_per_token output_cost_per_token input_cost_per_second output_cost_per_second")
PARAMS_TAKEN |= PRICES
# LiteLLM takes these for itself (`all_litellm_params` in its types/utils.py): no server may get them in a body.
PARAMS_NO_EFFECT = _names(
    "acompletion additional_drop_params allowed_model_region allowed_openai_params api_version "
    "assistant_continue_message async_call auto_router_config auto_router_config_path auto_router_default_model "
    "auto_router_embedding_model base_model budget_duration cache cache_control_injection_points cache_key "
    "caching caching_groups complexity_router_config complexity_router_default_model "
    "configurable_clientside_auth_params context_window_fallback_dict custom_prompt_dict "
    "enable_json_schema_validation enable_prompt_caching "
    "ensure_alternating_roles fallbacks fastest_response force_timeout id itpm "
    "langfuse_host langfuse_public_key langfuse_secret langfuse_secret_key litellm_call_id "
    "litellm_disabled_callbacks litellm_metadata litellm_request_debug litellm_session_id litellm_system_prompt "
    "litellm_trace_id logger_fn max_fallbacks max_file_size_mb merge_reasoning_content_in_choices "
    "metadata mock_testing_fallbacks mock_timeout model_info no-log order otpm output_vector_size "
    "prompt_environment prompt_id prompt_label prompt_variables prompt_version provider_specific_header "
    "retry_policy retry_strategy routing_strategy silent_model stream supports_system_message "
    "tag_regex tags tiered_pricing ttl turn_off_message_logging use_chat_completions_api use_in_pass_through "
    "stream_chunk_size use_litellm_proxy user_continue_message verbose"
)
PARAMS_NO_EFFECT |= litellm_names.PARAMS

ROUTER_TAKEN = _names(
    "allowed_fails content_policy_fallbacks context_window_fallbacks cooldown_time default_fallbacks "
    "default_litellm_params "
    "default_max_parallel_requests disable_cooldowns enable_pre_call_checks fallbacks model_group_alias num_retries "
    "optional_pre_call_checks redis_db redis_host redis_password redis_port redis_url routing_strategy "
    "routing_strategy_args stream_timeout timeout"
)
ROUTER_NO_EFFECT = litellm_names.ROUTER | _names(
    "alerting_config allowed_fails_policy assistants_config auto_router_capability_limit "
    "background_health_check_model_groups cache_kwargs cache_responses caching_groups client_ttl "
    "debug_level default_priority deployment_affinity_ttl_seconds "
    "enable_health_check_routing enable_weighted_failover "
    "fallback_access_check fallback_budget_check health_check_ignore_transient_errors "
    "health_check_staleness_threshold ignore_invalid_deployments max_fallbacks model_group_affinity_config "
    "model_group_retry_policy plugins polling_interval "
    "retry_after retry_policy router_general_settings routing_groups search_tools "
    "async_only_mode cache_params fallback_on_unsupported_params max_retries pass_through_all_models set_verbose "
    "tag_filtering_match_any tag_routing_prefix weights"
)

SETTINGS_TAKEN = _names(
    "allowed_fails content_policy_fallbacks context_window_fallbacks cooldown_time default_fallbacks drop_params "
    "fallbacks num_retries "
    "request_timeout ssl_verify"
)
SETTINGS_NO_EFFECT = _names(
    "add_function_to_prompt add_user_information_to_llm_headers blog_posts_url budget_duration cache "
    "cache_params callback_settings callbacks cold_storage_custom_logger "
    "custom_prometheus_metadata_labels custom_prometheus_tags default_internal_user_params "
    "default_team_params default_team_settings "
    "disable_aiohttp_transport disable_copilot_system_to_assistant disable_end_user_cost_tracking "
    "disable_end_user_cost_tracking_prometheus_only disable_hf_tokenizer_download enable_json_schema_validation "
    "enable_preview_features extra_spend_tag_headers failure_callback force_ipv4 "
    "forward_traceparent_to_llm_provider global_disable_no_log_param include_cost_in_streaming_usage json_logs "
    "key_generation_settings langfuse_default_tags log_raw_request_response "
    "max_parallel_requests max_ui_session_budget modify_params "
    "priority_reservation prometheus_initialize_budget_metrics prometheus_metrics_config "
    "prometheus_ui_settings public_model_groups redact_messages_in_exceptions redact_user_api_key_info "
    "require_auth_for_metrics_endpoint return_response_headers s3_callback_params service_callback set_verbose "
    "success_callback telemetry turn_off_message_logging "
    "use_aiohttp_transport use_chat_completions_url_for_anthropic_messages"
)
SETTINGS_NO_EFFECT |= litellm_names.SETTINGS

GENERAL_TAKEN = _names("database_url master_key max_request_size_mb")
GENERAL_NO_EFFECT = _names(
    "admission_queue_timeout_seconds alert_to_webhook_url alert_types alerting alerting_args alerting_threshold "
    "allow_cli_sso_verification_uri_complete allow_requests_on_db_unavailable allow_unmanaged_response_ids "
    "allow_user_auth allowed_file_extensions apply_user_budget_to_team_keys background_health_check_model_groups "
    "background_health_checks block_robots blocked_file_extensions cancel_on_disconnect "
    "claude_code_gateway_managed_settings completion_model control_plane_url coordination_redis custom_sso "
    "custom_ui_sso_sign_in_handler dangerously_permit_weak_or_unset_master_key database_args "
    "database_connect_timeout database_connection_pool_limit database_connection_timeout "
    "database_disable_prepared_statements database_extra_connection_params database_max_idle_connection_lifetime "
    "database_socket_timeout database_type default_team_disabled disable_adding_master_key_hash_to_db "
    "disable_auto_add_proxy_admin_to_teams disable_budget_reservation disable_env_credential_login disable_error_logs "
    "disable_master_key_return disable_password_login_when_sso_enabled disable_prisma_schema_update "
    "disable_reset_budget disable_responses_id_security disable_retry_on_max_parallel_request_limit_error "
    "disable_spend_logs disable_spend_updates enable_claude_code_gateway enable_health_check_routing "
    "enable_mcp_registry enable_openai_websocket_passthrough enable_public_model_hub enforce_fallback_model_access "
    "failed_login_block_seconds failed_login_window_seconds forward_client_headers_to_llm_api forward_openai_org_id "
    "global_max_parallel_requests "
    "health_check_concurrency health_check_details health_check_interval health_check_skip_disabled_background_models "
    "include_call_id_in_error_body infer_model_from_keys key_management_settings key_management_system "
    "litellm_key_header_name max_batch_file_records max_batch_file_size_mb max_batch_file_uploads_per_day "
    "max_failed_login_attempts_per_source max_failed_login_attempts_per_source_overrides "
    "max_file_downloads_per_minute max_file_size_mb max_in_flight_requests_per_worker max_parallel_requests "
    "max_queued_requests_per_worker max_response_size_mb maximum_autorouter_session_retention_period "
    "maximum_daily_tag_spend_retention_period maximum_health_check_retention_period "
    "maximum_spend_logs_cleanup_batch_size maximum_spend_logs_cleanup_batch_timeout "
    "maximum_spend_logs_cleanup_max_batches maximum_spend_logs_cleanup_run_budget "
    "maximum_spend_logs_retention_interval maximum_spend_logs_retention_period mcp_advertised_versions "
    "mcp_allowed_clients mcp_client_id_header mcp_internal_ip_ranges mcp_prefer_client_id_metadata_document "
    "mcp_required_fields mcp_trusted_proxy_ranges mcp_xff_num_trusted_hops missing_session_id model_list_healthy_only "
    "otel pass_through_endpoints pass_through_request_timeout password_policy_min_length "
    "password_policy_require_lowercase password_policy_require_numbers password_policy_require_special_characters "
    "password_policy_require_uppercase plugins provider_url_destination_allowed_hosts proxy_batch_polling_interval "
    "proxy_batch_write_at proxy_budget_rescheduler_max_time proxy_budget_rescheduler_min_time "
    "proxy_config_reload_interval_seconds responses_websocket_session_limit_seconds scheduled_job_stagger "
    "search_tool_deny_by_default spend_capture_rate_check spend_logs_metadata_fields "
    "store_model_in_db store_prompts_in_spend_logs supported_db_objects transcribe_media_buckets trusted_proxy_ranges "
    "ui_access_mode ui_password ui_username use_azure_key_vault use_client_credentials_pass_through_routes "
    "use_google_kms use_spend_logs_partitioning user_api_key_cache_max_size user_api_key_cache_ttl "
    "user_header_mappings user_header_name user_mcp_management_mode user_url_allowed_hosts user_url_validation "
    "vector_store_deny_by_default"
)
GENERAL_NO_EFFECT |= litellm_names.GENERAL

TOP_NO_EFFECT = _names(
    "agent_list agents assistant_settings callback_settings classifier_plugin default_vertex_config files_settings "
    "finetune_settings mcp_aliases mcp_servers mcp_tools pass_through_endpoints plugins prompts sandbox_tools "
    "search_tools vector_store_registry worker_registry"
)


def is_kept_back(name: str) -> bool:
    """Return whether a key of `litellm_params` is LiteLLM's own, and goes to no server."""
    own = name in PARAMS_NO_EFFECT or name in REFUSED or "_cost" in name
    return own or name.startswith("_") or SECRET.search(name) is not None


_RULES_OF_KEYS = _names("custom_key_generate custom_key_policy custom_key_update disable_custom_api_keys")


def cure_of(name: str) -> str:
    """Return what to do about one of the names in `REFUSED`."""
    if name in _RULES_OF_KEYS:
        return "keys are made with the master key: give it only to those who keep the rule, and remove it here"
    if name in _NEW_KEYS:
        return "name the limits of each key where it is made, at /key/generate or with `keys add`, and remove it here"
    return "put a proxy in front that does it, and remove it here"
