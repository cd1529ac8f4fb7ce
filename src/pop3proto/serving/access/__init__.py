"""Who may log in, from where and when: rules, hours, limits and delays, as a policy of a service."""
