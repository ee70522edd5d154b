"""scikit-learn estimators: texts to features through a store, and heads trained on arrays."""
