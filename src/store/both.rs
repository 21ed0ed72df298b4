//! What both databases do in the same words: bringing tables up to date, moving the position, binding values and
//! reading rows. sqlx gives each database types of its own, so it is a macro that both use.

macro_rules! same_in_both {
    ($database:ty, $connection:ty, $arguments:ty, $row:ty) => {
        fn bind(sql: String, values: &[Value]) -> Query<'static, $database, $arguments> {
            let query = sqlx::query(AssertSqlSafe(sql));
            values.iter().fold(query, |query, value| match value {
                Value::Int(value) => query.bind(*value),
                Value::Text(value) => query.bind(value.clone()),
                Value::Null => query.bind(None::<String>),
            })
        }

        /// Runs the migrations that the tables lack, inside a transaction that nobody shares. The version that
        /// they have then.
        async fn run_migrations(
            connection: &mut $connection,
            versions_table: &'static str,
        ) -> Result<i64, sqlx::Error> {
            sqlx::raw_sql(versions_table)
                .execute(&mut *connection)
                .await?;
            let found: i64 = sqlx::query("SELECT COALESCE(MAX(version), 0) FROM schema_version")
                .fetch_one(&mut *connection)
                .await?
                .try_get(0)?;
            for (migration, version) in MIGRATIONS.iter().zip(1i64..).skip(found.max(0) as usize) {
                sqlx::raw_sql(*migration).execute(&mut *connection).await?;
                sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
                    .bind(version)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(found.max(MIGRATIONS.len() as i64))
        }

        /// How far tables of this version are. Newer ones are not looked into.
        async fn projection_state(
            connection: &mut $connection,
            version: i64,
        ) -> Result<Option<ProjectionState>, sqlx::Error> {
            if !(1..=MIGRATIONS.len() as i64).contains(&version) {
                return Ok(None);
            }
            let sql = ProjectionState::select(version);
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_optional(connection);
            let row = row.await?;
            row.map(|row| ProjectionState::take(&row)).transpose()
        }

        /// Tables of the newest version in place of all that are there; rows of deliveries are in no journal, and stay.
        async fn remake_tables(
            connection: &mut $connection,
            has_deliveries: bool,
        ) -> Result<(), sqlx::Error> {
            let mut statements = Vec::new();
            if has_deliveries {
                statements
                    .push("CREATE TEMPORARY TABLE kept AS SELECT * FROM deliveries".to_owned());
            }
            let tables = all_tables();
            statements.extend(tables.iter().map(|table| format!("DROP TABLE IF EXISTS {table}")));
            for sql in statements {
                let statement = sqlx::raw_sql(AssertSqlSafe(sql));
                statement.execute(&mut *connection).await?;
            }
            run_migrations(&mut *connection, VERSIONS_TABLE).await?;
            if has_deliveries {
                let sql = "INSERT INTO deliveries SELECT * FROM kept; DROP TABLE kept";
                sqlx::raw_sql(sql).execute(connection).await?;
            }
            Ok(())
        }

        async fn adopt(connection: &mut $connection, journal: &str) -> Result<(), sqlx::Error> {
            let sql = "INSERT INTO projection (singleton, journal_id, position, updated_at_ms) \
                       VALUES (1, $1, 0, 0) ON CONFLICT DO NOTHING";
            let query = sqlx::query(sql).bind(journal.to_owned());
            query.execute(connection).await.map(drop)
        }

        async fn move_position(
            connection: &mut $connection,
            journal: &str,
            from: Sequence,
            to: Position,
        ) -> Result<bool, sqlx::Error> {
            let sql = "UPDATE projection SET position = $1, updated_at_ms = $2, behind_ms = $3, chain = $4 \
                       WHERE journal_id = $5 AND position = $6";
            let query = sqlx::query(sql)
                .bind(to.sequence as i64)
                .bind(to.through.0)
                .bind(to.behind_ms)
                .bind(to.chain.map(|chain| chain.to_string()))
                .bind(journal.to_owned())
                .bind(from as i64);
            Ok(query.execute(connection).await?.rows_affected() == 1)
        }

        async fn remove_older(
            connection: &mut $connection,
            table: &'static str,
            before: Timestamp,
        ) -> Result<u64, sqlx::Error> {
            let key = if table == "events" { "number" } else { "id" };
            let sql = format!(
                "DELETE FROM {table} WHERE {key} IN \
                 (SELECT {key} FROM {table} WHERE created_at_ms < $1 ORDER BY created_at_ms LIMIT $2)"
            );
            let query = sqlx::query(AssertSqlSafe(sql));
            let query = query.bind(before.0).bind(FORGOTTEN_AT_ONCE);
            Ok(query.execute(connection).await?.rows_affected())
        }

        impl Source for $row {
            fn is_null(&self, at: usize) -> Result<bool, sqlx::Error> {
                Ok(self.try_get_raw(at)?.is_null())
            }

            fn int(&self, at: usize) -> Result<i64, sqlx::Error> {
                self.try_get(at)
            }

            fn text(&self, at: usize) -> Result<&str, sqlx::Error> {
                self.try_get(at)
            }

            fn bytes(&self, at: usize) -> Result<&[u8], sqlx::Error> {
                self.try_get(at)
            }
        }
    };
}
pub(super) use same_in_both;
